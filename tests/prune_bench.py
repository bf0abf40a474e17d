"""A store with rows of all ages, and ``jobu prune`` on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import sqlalchemy as sa

from jobu_core.config import DispatcherSettings, RetentionSettings, Settings
from jobu_core.dispatcher.cron.edit import add_job
from jobu_core.execution.retention import Pruned, Pruning
from jobu_core.pipeline.paths import Paths
from jobu_core.store.engine import transaction
from jobu_core.store.schema import dead_letters, job_executions, kafka_positions
from tests.launch_support import Catalog, Jobs

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from sqlalchemy import Engine

    from jobu_core.models import CronJob

GROUP = "g"
TOPIC = "t"


@dataclass
class PruneBench:
    """Rows are 40 days old unless told otherwise; 30 days are kept."""

    engine: Engine
    root: Path
    batch: int = 500

    @property
    def jobs(self) -> Jobs:
        """The store's rows."""
        return Jobs(self.engine)

    def pruning(self, *, dry_run: bool = False) -> Pruning:
        """Return a prune of what is older than 30 days."""
        retained = RetentionSettings(batch=self.batch)
        settings = Settings(root=self.root, dispatcher=DispatcherSettings(retention=retained))
        paths = Paths({"/data": "data"}, self.root)
        return Pruning(self.engine, settings, paths, timedelta(days=30), dry_run)

    def prune(self, *, dry_run: bool = False) -> Pruned:
        """Prune once."""
        pruning = self.pruning(dry_run=dry_run)
        return pruning.prune(pruning.cutoff())

    def ended(
        self,
        *,
        days: float = 40,
        status: str = "SUCCESS",
        **values: Any,  # noqa: ANN401 - any field of NewExecution
    ) -> int:
        """Insert an execution that ended so long ago."""
        row = self.jobs.running(**values)
        self.jobs.change(row.id, status=status, lease_token=None, finished_at=self._ago(days))
        return row.id

    def event(
        self, offset: int, *, group: str = GROUP, generation: int = 1, days: float = 40
    ) -> int:
        """Insert an execution of a message, that ended so long ago."""
        row = self.ended(days=days, dedupe_key=f"event:{group}:{TOPIC}:{generation}:0:{offset}")
        self.jobs.change(
            row,
            kafka_topic=TOPIC,
            kafka_generation=generation,
            kafka_partition=0,
            kafka_offset=offset,
        )
        return row

    def daily_job(self) -> CronJob:
        """Save a cron job; its watermark is now."""
        values = {"name": "daily", "handler_name": "echo", "cron_expression": "0 0 * * *"}
        return add_job(self.engine, Catalog(), DispatcherSettings(), values, who="tester")

    def position(self, next_offset: int, *, group: str = GROUP, generation: int = 1) -> None:
        """Write where a group stands."""
        with transaction(self.engine) as connection:
            connection.execute(
                kafka_positions.insert().values(
                    group_id=group,
                    topic=TOPIC,
                    generation=generation,
                    partition=0,
                    start_offset=0,
                    next_offset=next_offset,
                )
            )

    def letter(self, offset: int, *, days: float = 40, **columns: Any) -> UUID:  # noqa: ANN401 - any column
        """Insert a discarded dead letter of so long ago."""
        letter_id = uuid4()
        values: dict[str, Any] = {
            "id": letter_id,
            "group_id": GROUP,
            "topic": TOPIC,
            "generation": 1,
            "partition": 0,
            "offset": offset,
            "stage": "decode",
            "code": "not_json",
            "message": "no",
            "status": "discarded",
            "created_at": self._ago(days),
        }
        with transaction(self.engine) as connection:
            connection.execute(dead_letters.insert().values(values | columns))
        return letter_id

    @property
    def executions(self) -> set[int]:
        """The executions that are left."""
        with transaction(self.engine) as connection:
            return set(connection.scalars(sa.select(job_executions.c.id)))

    @property
    def letters(self) -> set[UUID]:
        """The dead letters that are left."""
        with transaction(self.engine) as connection:
            return set(connection.scalars(sa.select(dead_letters.c.id)))

    def run(self, statement: str, **values: Any) -> Any:  # noqa: ANN401 - whatever it returns
        """Execute SQL as nobody does in production, to arrange or look."""
        with transaction(self.engine) as connection:
            result = connection.execute(sa.text(statement), values)
            return result.all() if result.returns_rows else None

    def _ago(self, days: float) -> Any:  # noqa: ANN401 - an SQL expression
        return sa.func.jobu_now() - timedelta(days=days)
