"""The rows of one source into one MySQL table, exactly once.

Append and upsert commit their rows and their manifest row together. A replace is a
RENAME that the manifest follows, or a DELETE in one transaction; ``swap_ledger.py``
says what becomes of a load that is killed between the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog
from pymysql import err

from jobu_core.clock import SystemClock
from jobu_core.crash_points import reach
from jobu_core.errors import LoadRefused, TargetUnavailable
from jobu_core.pipeline.load.metered import open_metered
from jobu_core.pipeline.load.mysql.attempts import begin_attempt
from jobu_core.pipeline.load.mysql.columns import ColumnPlan, plan_columns, read_columns
from jobu_core.pipeline.load.mysql.guards import check_guards, refuse_truncate, rows_before
from jobu_core.pipeline.load.mysql.manifest import (
    claim_load,
    ensure_manifest,
    find_load,
    find_replacement,
    finish_load,
    insist_same,
    newer_exists,
    release_lock,
    same_load,
    take_lock,
)
from jobu_core.pipeline.load.mysql.rows import send_rows
from jobu_core.pipeline.load.mysql.session import Session, open_session
from jobu_core.pipeline.load.mysql.statements import table as table_name
from jobu_core.pipeline.load.mysql.swap import (
    CannotSwapError,
    TableAppearedError,
    make_new,
    swap_in,
)
from jobu_core.pipeline.load.mysql.swap_ledger import (
    find_settled,
    settle_target,
    sweep,
    target_lock,
)
from jobu_core.pipeline.load.mysql.tables import (
    children_of,
    count_rows,
    find_table,
    refuse_reserved,
    require_table,
    triggers_of,
)
from jobu_core.pipeline.load.mysql.upsert import (
    came_meanwhile,
    check_keys,
    insist_on_keys,
    merge,
    stage_rows,
)
from jobu_core.pipeline.load.request import LoadResult, Mode, Outcome, Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobu_core.clock import Clock
    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.load.manifest import Loaded
    from jobu_core.pipeline.load.request import LoadRequest
    from jobu_core.pipeline.load.source import Source

_READ_WAIT_SECONDS: Final = 10
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Landed:
    """What became of the rows."""

    rows: int
    strategy: str
    columns: tuple[tuple[str, str], ...]


def load_parquet(request: LoadRequest, clock: Clock | None = None) -> LoadResult:
    """Load the rows, or find that they were loaded; returns what the manifest says.

    Raises SchemaMismatch, DataError or FileError for the user's data, LoadRefused
    for guards and forbidden targets, FenceLost from the request's lease check,
    TargetBusy when a lock was not granted in time, TargetUnavailable when the
    server is not there. Whatever is raised, readers see nothing of the load.
    """
    with (
        open_metered(request) as source,
        open_session(request.url, request.target.database) as session,
    ):
        refuse_reserved(session, request.target)
        session.bound_locks(request.lock_wait_seconds)
        ensure_manifest(session)
        ended = begin_attempt(session, request)
        reach("mysql_load.older_attempts_ended")
        if ended:
            _log.warning("older_attempts_ended", execution_id=request.execution_id, count=ended)
        sweep(session)
        return _Loader(session, request, source, clock or SystemClock()).run()


def read_load(url: str, database: str, load_key: str) -> Loaded | None:
    """Return the load of that key; None when it did not happen.

    A swap that was killed after its RENAME is finished first: it did happen. Raises
    TargetUnavailable when the server cannot be asked.
    """
    with open_session(url, database) as session:
        session.bound_locks(_READ_WAIT_SECONDS)
        return find_settled(session, load_key, _READ_WAIT_SECONDS)


def replaced_by(url: str, target: TableName, load_id: int) -> int | None:
    """Return the first load after ``load_id`` that replaced the target's rows, or None."""
    with open_session(url, target.database) as session:
        session.bound_locks(_READ_WAIT_SECONDS)
        return find_replacement(session, target, load_id)


@dataclass(frozen=True, slots=True)
class _Loader:
    """One attempt's session, source and request."""

    session: Session
    request: LoadRequest
    source: Source
    clock: Clock

    def run(self) -> LoadResult:
        """Load by the way that the mode, and the table as it is, ask for."""
        refuse_truncate(self.request)
        appends = self.request.mode is Mode.APPEND
        if appends and find_table(self.session, self.request.target):
            return self._append()
        if not self.request.create:
            require_table(self.session, self.request.target)
        return self._alone()

    def _alone(self) -> LoadResult:
        """Load while no other replace, upsert or making of the same table runs."""
        request, session = self.request, self.session
        lock = target_lock(request.target)
        busy = f"{request.target}: another load held the table for {request.lock_wait_seconds:g} s"
        take_lock(session, lock, request.lock_wait_seconds, busy)
        settle_target(session, request.target)
        reach("mysql_load.settled")
        found = find_load(session, request.load_key)
        if found is not None:
            return self._already(insist_same(found, request, self.source))
        if request.mode is Mode.REPLACE and newer_exists(session, request):
            return self._result(Outcome.STALE_REPLACE)
        there = find_table(session, request.target)
        before = rows_before(session, request, there=there)
        if self.source.facts is not None:
            check_guards(request, self.source.facts.rows, before)
        if not there:
            try:
                return self._make()
            except TableAppearedError:
                _log.warning("table_appeared", table=str(request.target))
        if request.mode is Mode.APPEND:
            release_lock(session, lock)
            return self._append()
        return self._upsert() if request.mode is Mode.UPSERT else self._replace(before)

    def _make(self) -> LoadResult:
        if self.request.mode is Mode.UPSERT:
            insist_on_keys(self.request.keys, self.request.target)
        rows, plans = make_new(
            self.session,
            self.request,
            self.source,
            self._plan,
            self.clock,
            accept=lambda: self._accept(None),
        )
        return self._recorded(_Landed(rows, "create", _shown(plans)))

    def _accept(self, before: int | None) -> None:
        """Hold the rows, all read by now, against the guards; then finish the source."""
        check_guards(self.request, self.source.known().rows, before)
        self.source.seal()

    def _replace(self, before: int | None) -> LoadResult:
        if self.request.strategy is Strategy.DELETE:
            return self._in_place(before)
        plans = self._plan(self.request.target)
        try:
            rows = swap_in(
                self.session,
                self.request,
                self.source,
                plans,
                self.clock,
                accept=lambda: self._accept(before),
            )
        except CannotSwapError as error:
            if self.request.strategy is Strategy.SWAP:
                msg = f"{self.request.target} cannot be swapped: {error}"
                raise LoadRefused(msg) from error
            _log.info("replace_in_place", table=str(self.request.target), reasons=error.reasons)
            return self._in_place(before)
        return self._recorded(_Landed(rows, Strategy.SWAP.value, _shown(plans)))

    def _append(self) -> LoadResult:
        return self._transact(self._append_rows, None)

    def _append_rows(self) -> _Landed:
        plans = self._plan(self.request.target)
        rows = send_rows(self.session, self.request.target, self.source, plans)
        self._insist(rows, "landed")
        return _Landed(rows, "append", _shown(plans))

    def _in_place(self, before: int | None) -> LoadResult:
        """Delete and load in one transaction; readers keep the old rows until commit.

        In REPEATABLE READ the DELETE also locks the places between the rows, so that
        what stands at commit is what was loaded.
        """
        changing = [
            each.name for each in children_of(self.session, self.request.target) if each.changes
        ]
        if changing:
            raise LoadRefused(
                f"{self.request.target}: deleting its rows would change other tables through "
                f"foreign keys: {', '.join(changing)}"
            )
        self.session.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        return self._transact(self._delete_and_load, before)

    def _delete_and_load(self) -> _Landed:
        target = self.request.target
        plans = self._plan(target)
        self.session.run("DELETE FROM {table}", table=table_name(target))
        reach("mysql_load.emptied")
        rows = send_rows(self.session, target, self.source, plans)
        self._insist(rows, "landed")
        self._insist(count_rows(self.session, target), "in the table")
        return _Landed(rows, Strategy.DELETE.value, _shown(plans))

    def _upsert(self) -> LoadResult:
        target, keys = self.request.target, self.request.keys
        insist_on_keys(keys, target)
        indexes = check_keys(self.session, target, keys)
        plans = self._plan(target)
        staged = stage_rows(self.session, target, self.source, plans, keys)

        def land() -> _Landed:
            rows = merge(self.session, target, plans, keys, indexes)
            if rows != staged and not triggers_of(self.session, target):
                raise came_meanwhile(target)
            if rows != staged:
                raise LoadRefused(
                    f"{target}: {staged} keys in the file, {rows} rows changed or added; "
                    "does a trigger of the table change keys?"
                )
            return _Landed(rows, Mode.UPSERT.value, _shown(plans))

        return self._transact(land, None)

    def _transact(self, land: Callable[[], _Landed], before: int | None) -> LoadResult:
        """Commit the manifest's row together with what ``land`` writes.

        ``before`` is for the guards of a replace.
        """
        committing = False
        try:
            with self.session.transaction():
                load_id = claim_load(self.session, self.request)
                if load_id is None:
                    return self._already(same_load(self.session, self.request, self.source))
                reach("mysql_load.claimed")
                self._keep_structure()
                landed = land()
                self._accept(before)
                self.request.check_lease()
                reach("mysql_load.landed")
                finish_load(self.session, load_id, landed.rows, self.source.known())
                reach("mysql_load.manifest_finished")
                committing = True
        except err.Error:
            if not committing or self.session.connection.open:
                raise
            return self._after_lost_commit()
        reach("mysql_load.committed")
        return self._result(Outcome.LOADED, load_id=load_id, landed=landed)

    def _keep_structure(self) -> None:
        """Let nobody alter the table's columns until the transaction ends."""
        self.session.rows("SELECT 1 FROM {table} LIMIT 0", table=table_name(self.request.target))

    def _after_lost_commit(self) -> LoadResult:
        """Let the manifest decide; wait for the server, which may be committing still."""
        request = self.request
        with open_session(request.url, request.target.database) as session:
            session.bound_locks(request.lock_wait_seconds)
            with session.transaction():
                found = find_load(session, request.load_key, waiting=True)
        if found is None:
            raise TargetUnavailable(f"{request.target}: connection lost at commit")
        return self._already(found)

    def _plan(self, name: TableName) -> tuple[ColumnPlan, ...]:
        return plan_columns(
            self.source.schema,
            self.source.nulls,
            read_columns(self.session, name),
            table=str(self.request.target),
        )

    def _insist(self, rows: int, where: str) -> None:
        expected = self.source.known().rows
        if rows != expected:
            raise LoadRefused(
                f"{self.request.target}: {expected} rows in the file, {rows} {where}; "
                "does a trigger of the table add rows?"
            )

    def _recorded(self, landed: _Landed) -> LoadResult:
        """Tell of a load whose manifest row followed it."""
        found = find_load(self.session, self.request.load_key)
        load_id = None if found is None else found.load_id
        reach("mysql_load.recorded")
        return self._result(Outcome.LOADED, load_id=load_id, landed=landed)

    def _already(self, found: Loaded) -> LoadResult:
        return LoadResult(
            outcome=Outcome.ALREADY_LOADED,
            load_key=found.load_key,
            load_id=found.load_id,
            target=str(self.request.target),
            mode=found.mode,
            rows=found.rows,
            rejected=found.rejected,
        )

    def _result(
        self,
        outcome: Outcome,
        *,
        load_id: int | None = None,
        landed: _Landed | None = None,
    ) -> LoadResult:
        return LoadResult(
            outcome=outcome,
            load_key=self.request.load_key,
            load_id=load_id,
            target=str(self.request.target),
            mode=self.request.mode.value,
            rows=0 if landed is None else landed.rows,
            rejected=0 if self.source.facts is None else self.source.facts.rejected,
            strategy=None if landed is None else landed.strategy,
            columns=() if landed is None else landed.columns,
        )


def _shown(plans: Sequence[ColumnPlan]) -> tuple[tuple[str, str], ...]:
    return tuple((plan.name, plan.shown) for plan in plans)
