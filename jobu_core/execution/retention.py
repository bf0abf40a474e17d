"""What ``jobu prune`` takes away of the job store, and of the disk (rule 19).

Every portion is a transaction of its own, so that a prune may die anywhere and be
run again, beside everything else. A dry run chooses by the same statements and
takes the same locks, but deletes nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from jobu_core.crash_points import reach
from jobu_core.errors import ConfigError
from jobu_core.execution.left_files import Sweep
from jobu_core.store import audit, retention
from jobu_core.store.cron_jobs import read_now
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import sqlalchemy as sa

    from jobu_core.config import Settings
    from jobu_core.pipeline.paths import Paths
    from jobu_core.store.retention import Portion

MIN_AGE: Final = timedelta(days=1)
"""Younger things may be on their way still: a tick that is resumed, a file being written."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """How much of each kind went, or would go."""

    executions: int
    dead_letters: int
    skips: int
    work_folders: int
    """Of executions: what their attempts and stages left."""
    reload_files: int
    """Corrected rejects that no execution reads any more."""
    temporary_files: int
    """Half-written outputs of attempts that were killed."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """One run of ``jobu prune`` over the job store and the files of a project."""

    engine: sa.Engine
    settings: Settings
    paths: Paths
    older_than: timedelta
    dry_run: bool = False

    def cutoff(self) -> datetime:
        """Return the store's time ``older_than`` ago."""
        return self._now() - self.older_than

    def prune(self, cutoff: datetime) -> Pruned:
        """Take away what ended before ``cutoff``.

        Raises StoreUnavailable, and ConfigError before anything went when the role of
        the job store's URL may not delete.

        Files have ages of their own, and go first: whether an execution still has
        to do with one is asked of its row.
        """
        with transaction(self.engine) as connection:
            claimed = retention.read_claimed(connection)
            if not self.dry_run and not retention.may_delete(connection):
                raise ConfigError(
                    "databases.default.url: its role may not delete executions; "
                    "run prune as the owner of the tables"
                )
        sweep = Sweep(self.engine, self._now(), self.dry_run)
        work = self.settings.root / self.settings.worker.work_dir
        folders = sweep.work_folders(
            work, timedelta(days=self.settings.dispatcher.retention.work_days)
        )
        reloads, temporary = sweep.beside_data(self.paths.folders, MIN_AGE)
        return Pruned(
            executions=self._portions(
                partial(retention.old_executions, cutoff=cutoff, claimed=claimed),
                retention.delete_executions,
            ),
            dead_letters=self._portions(
                partial(retention.old_dead_letters, cutoff=cutoff), retention.delete_dead_letters
            ),
            skips=self._portions(
                partial(retention.old_skips, cutoff=cutoff), retention.delete_skips
            ),
            work_folders=folders,
            reload_files=reloads,
            temporary_files=temporary,
        )

    def record(self, who: str, pruned: Pruned, runs: int) -> None:
        """Write into the audit log what went, if anything did."""
        counts = asdict(pruned) | {"runs": runs}
        if self.dry_run or not any(counts.values()):
            return
        with transaction(self.engine) as connection:
            audit.record(connection, who, "prune", "retention", after=counts)

    def _portions(
        self,
        choose: Callable[..., Portion],
        delete: Callable[[sa.Connection, Portion], None],
    ) -> int:
        """Choose and delete until nothing is left; return how many rows went."""
        rows = 0
        after: Any = None
        while True:
            with transaction(self.engine) as connection:
                chosen = choose(
                    connection, after=after, most=self.settings.dispatcher.retention.batch
                )
                if chosen.rows and not self.dry_run:
                    delete(connection, chosen)
                    reach("prune.portion_deleted")
            reach("prune.portion_committed")
            rows, after = rows + chosen.rows, chosen.after
            if after is None:
                return rows

    def _now(self) -> datetime:
        with transaction(self.engine) as connection:
            return read_now(connection)
