"""The rows of one source into one PostgreSQL table, in one transaction, exactly once.

Manifest row, locks, guards, rows and swap commit together or not at all: an
attempt that is killed leaves nothing, and the next one finds out by the manifest
whether there is anything left to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
import structlog

from jobu_core.clock import SystemClock
from jobu_core.crash_points import reach
from jobu_core.errors import LoadRefused, TargetUnavailable
from jobu_core.pipeline.load.columns import ColumnPlan, plan_columns, read_columns
from jobu_core.pipeline.load.manifest import (
    Loaded,
    advisory_key,
    claim_load,
    ensure_manifest,
    find_load,
    finish_load,
    lock_target,
    newer_exists,
    same_load,
)
from jobu_core.pipeline.load.metered import open_metered
from jobu_core.pipeline.load.replace import (
    check_guards,
    choose_strategy,
    empty_in_place,
    lock_for_append,
    rows_before,
)
from jobu_core.pipeline.load.request import LoadRequest, LoadResult, Mode, Outcome, Strategy
from jobu_core.pipeline.load.rows import (
    acts_on_rows,
    analyze,
    analyze_changed,
    copy_rows,
    count_rows,
)
from jobu_core.pipeline.load.session import (
    bound_locks,
    end_older_attempts,
    mark_session,
    open_session,
)
from jobu_core.pipeline.load.swap import (
    SwapIncompleteError,
    lock_exclusively,
    stage_beside,
    swap_in,
)
from jobu_core.pipeline.load.table import (
    Table,
    create_table,
    find_table,
    refuse_reserved,
    require_table,
)

if TYPE_CHECKING:
    from jobu_core.clock import Clock
    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.load.source import Source

_log = structlog.get_logger(__name__)


class _StaleReplaceError(Exception):
    """A newer load is there; roll back and end well."""


@dataclass(frozen=True, slots=True)
class _Landed:
    """What the transaction did with the rows."""

    rows: int
    strategy: str
    columns: tuple[tuple[str, str], ...]


def load_parquet(request: LoadRequest, clock: Clock | None = None) -> LoadResult:
    """Load the rows, or find that they were loaded; returns what the manifest says.

    Raises SchemaMismatch, DataError or FileError for the user's data, LoadRefused
    for guards and forbidden targets, FenceLost from the request's lease check,
    TargetBusy when a lock was not granted in time, TargetUnavailable when the
    database is not there. Whatever is raised, nothing of the load remains.
    """
    with (
        open_metered(request) as source,
        open_session(request.url, request.target.database, request.application_name) as connection,
    ):
        refuse_reserved(connection, request.target)
        ensure_manifest(connection, lock_wait_seconds=request.lock_wait_seconds)
        mark = advisory_key("installation", request.installation)
        ended = end_older_attempts(
            connection, execution_id=request.execution_id, attempt=request.attempt, mark=mark
        )
        reach("load.older_attempts_ended")
        if ended:
            _log.warning("older_attempts_ended", execution_id=request.execution_id, count=ended)
        loader = _Loader(connection, request, source, mark, clock or SystemClock())
        try:
            return loader.run(request.strategy)
        except SwapIncompleteError as error:
            if request.strategy is Strategy.SWAP:
                raise LoadRefused(f"{request.target} cannot be swapped: {error}") from error
            _log.warning("swap_given_up", table=str(request.target), reasons=error.reasons)
            return loader.run(Strategy.DELETE)


@dataclass(frozen=True, slots=True)
class _Loader:
    """One attempt's connection, source and request."""

    connection: psycopg.Connection
    request: LoadRequest
    source: Source
    mark: int
    clock: Clock

    def run(self, strategy: Strategy) -> LoadResult:
        """Run the transaction and what follows its commit."""
        result: LoadResult | None = None
        try:
            with self.connection.transaction():
                result = self._transact(strategy)
        except _StaleReplaceError:
            return self._result(Outcome.STALE_REPLACE)
        except psycopg.OperationalError as error:
            if result is None or not (self.connection.broken or self.connection.closed):
                raise
            return self._settle(error)
        reach("load.committed")
        if result.outcome is Outcome.LOADED and result.strategy != Strategy.SWAP:
            analyze_changed(self.connection, self.request.target, result.rows)
            reach("load.analyzed")
        return result

    def _settle(self, error: psycopg.OperationalError) -> LoadResult:
        """Let the manifest decide about a connection that was lost at COMMIT."""
        request = self.request
        with open_session(
            request.url, request.target.database, request.application_name
        ) as connection:
            bound_locks(connection, request.lock_wait_seconds)
            found = find_load(connection, request.load_key)
        if found is None:
            raise TargetUnavailable(f"{request.target}: connection lost at commit") from error
        return self._already(found)

    def _transact(self, strategy: Strategy) -> LoadResult:
        bound_locks(self.connection, self.request.lock_wait_seconds)
        mark_session(self.connection, self.mark)
        load_id = claim_load(self.connection, self.request)
        if load_id is None:
            return self._already(same_load(self.connection, self.request, self.source))
        reach("load.claimed")
        if self.request.mode is Mode.REPLACE:
            lock_target(self.connection, self.request)
            if newer_exists(self.connection, self.request):
                raise _StaleReplaceError
        landed = self._land(strategy, load_id)
        self.request.check_lease()
        reach("load.landed")
        finish_load(self.connection, load_id, landed.rows, self.source.known())
        reach("load.manifest_finished")
        return self._result(Outcome.LOADED, load_id=load_id, landed=landed)

    def _land(self, strategy: Strategy, load_id: int) -> _Landed:
        table = find_table(self.connection, self.request.target)
        if table is None and self.request.create:
            lock_target(self.connection, self.request)
            table = find_table(self.connection, self.request.target)
        before = None
        if self.request.mode is Mode.REPLACE:
            before = rows_before(self.connection, self.request, table)
            if self.source.facts is not None:
                check_guards(self.request, self.source.facts.rows, before)
        if table is None:
            return self._create()
        if self.request.mode is Mode.APPEND:
            return self._append()
        chosen = choose_strategy(self.connection, self.request.target, table, strategy)
        if chosen is Strategy.SWAP:
            return self._swap(load_id, before)
        return self._in_place(chosen, before)

    def _create(self) -> _Landed:
        if not self.request.create:
            require_table(self.connection, self.request.target)
        create_table(self.connection, self.request.target, self.source.schema)
        reach("load.table_created")
        table = require_table(self.connection, self.request.target)
        return self._copy(self._plan(table), "create")

    def _append(self) -> _Landed:
        lock_for_append(self.connection, self.request.target)
        table = require_table(self.connection, self.request.target)
        return self._copy(self._plan(table), "append")

    def _in_place(self, chosen: Strategy, before: int | None) -> _Landed:
        target = self.request.target
        table = empty_in_place(
            self.connection,
            target,
            chosen,
            wait_seconds=self.request.lock_wait_seconds,
            clock=self.clock,
            before=self._plan,
        )
        reach("load.emptied")
        landed = self._copy(self._plan(table), chosen.value, before)
        self._insist(count_rows(self.connection, target, table), "in the table")
        return landed

    def _swap(self, load_id: int, before: int | None) -> _Landed:
        target = self.request.target
        table = require_table(self.connection, target)
        plans = self._plan(table)
        staged = stage_beside(self.connection, target, table, load_id)
        reach("swap.staged")
        rows = self._send(staged.name, plans, before)
        reach("swap.filled")
        self._insist(rows, "sent")
        if acts_on_rows(self.connection, staged.new):
            self._insist(count_rows(self.connection, staged.name, staged.new), "in the new table")
        analyze(self.connection, staged.name)
        self.request.check_lease()
        lock_exclusively(
            self.connection,
            target,
            wait_seconds=self.request.lock_wait_seconds,
            clock=self.clock,
        )
        reach("swap.locked")
        swap_in(self.connection, target, staged)
        return _Landed(rows, Strategy.SWAP.value, _shown(plans))

    def _plan(self, table: Table) -> tuple[ColumnPlan, ...]:
        return plan_columns(
            self.source.schema,
            self.source.nulls,
            read_columns(self.connection, table.oid),
            table=str(self.request.target),
        )

    def _copy(self, plans: tuple[ColumnPlan, ...], how: str, before: int | None = None) -> _Landed:
        rows = self._send(self.request.target, plans, before)
        self._insist(rows, "landed")
        return _Landed(rows, how, _shown(plans))

    def _send(self, target: TableName, plans: tuple[ColumnPlan, ...], before: int | None) -> int:
        """Send every row; then all of them are known, and what a stream left open is done."""
        rows = copy_rows(self.connection, target, self.source, plans)
        if self.request.mode is Mode.REPLACE:
            check_guards(self.request, self.source.known().rows, before)
        self.source.seal()
        return rows

    def _insist(self, rows: int, where: str) -> None:
        expected = self.source.known().rows
        if rows != expected:
            raise LoadRefused(
                f"{self.request.target}: {expected} rows in the file, {rows} {where}; "
                "does a trigger or a rule of the table drop or add rows?"
            )

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


def _shown(plans: tuple[ColumnPlan, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((plan.name, plan.shown) for plan in plans)
