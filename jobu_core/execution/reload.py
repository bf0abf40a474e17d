"""Corrected rejects become an execution that loads them: each row once.

A row belongs to the newest execution that was made for it, by the ledger of the
first one (``store/reloads.py``). When that one ended without loading, the row is
loaded by another execution of the same chain: its load key is the same, so that
the manifest lets one of them load and no second. When the chain's load went to
other rows, the row begins a chain of its own.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jobu_core.config.datasets import CsvOptions
from jobu_core.crash_points import reach
from jobu_core.errors import Conflict, FileError, InvalidParams, NotFound
from jobu_core.execution.rejected import inputs_of, rejected_of
from jobu_core.handlers.dataset_values import csv_of, dataset_of, mode_of, target_of
from jobu_core.models import TERMINAL, NewExecution, Status, Trigger
from jobu_core.pipeline.corrections import read_corrections, refuse_other_columns, write_corrected
from jobu_core.pipeline.load.engine import replaced_by
from jobu_core.pipeline.load.history import list_loads
from jobu_core.pipeline.load.request import Mode
from jobu_core.store import audit
from jobu_core.store.engine import transaction
from jobu_core.store.executions import get_execution, hold_execution, insert_executions
from jobu_core.store.reloads import chain_of, lock_claims, write_claims

if TYPE_CHECKING:
    import sqlalchemy as sa

    from jobu_core.execution.runtime import ExecutionRuntime
    from jobu_core.handlers.pipeline import PipelineParams
    from jobu_core.models import Execution
    from jobu_core.pipeline.corrections import Corrections
    from jobu_core.pipeline.places.place import Place
    from jobu_core.store.reloads import Claims

FOLDER: Final = ".jobu-reloads"
"""Beside the user's file; not taken for input by a pattern for CSV files."""
_OF_THE_WHOLE_FILE: Final = frozenset(
    {
        *("output_path", "valid_path", "rejects_path", "if_missing", "load_key"),
        *("truncate_before", "replace_strategy", "allow_empty", "max_shrink"),
    }
)
"""Params that meant the file and its load as a whole."""


@dataclass(slots=True)
class Reload:
    """What became of the rows of a corrected file."""

    executions: dict[int, int] = field(default_factory=dict)
    """New execution → how many rows it was made for."""
    already: dict[int, int] = field(default_factory=dict)
    """Earlier execution → how many of the rows it has loaded or will."""


def reload_rejected(
    runtime: ExecutionRuntime,
    execution_id: int,
    corrected: Path,
    *,
    name: str,
    who: str,
    why: str | None = None,
) -> Reload:
    """Make executions for the rows of ``corrected`` that none was made for; repeatable.

    Raises Conflict for an execution without a load, a table that was replaced since
    or a reload that runs, FileError for what is wrong with the file.
    """
    with transaction(runtime.engine) as connection:
        execution = get_execution(connection, execution_id)
    rejected = rejected_of(runtime, execution)
    params, loaded = params_of(runtime, execution)
    csv = loaded.model_copy(update={"compression": "auto"})  # a person corrects plain text
    corrections = read_corrections(corrected, rejected, name=name, csv=csv)
    if not corrections.rows:
        raise FileError(f"{name}: has no rows")
    source = inputs_of(runtime, rejected)[0]
    with tempfile.TemporaryDirectory(prefix="jobu-reload-") as folder:
        if source.exists():  # else the run itself will tell of missing columns
            with source.opened(Path(folder)) as file:
                refuse_other_columns(corrections, file, name=name, csv=loaded)
        _refuse_replaced(runtime, execution, params)
        made = _Making(runtime, execution, params, corrections, csv, source, Path(folder))
        with transaction(runtime.engine) as connection:
            done = made.insert(connection)
            reach("reload.rows_inserted")
            audit.record(
                connection,
                who,
                "rejects.reload",
                f"job_executions/{execution_id}",
                after={"executions": {str(each): rows for each, rows in done.executions.items()}},
                why=why,
            )
            reach("reload.audited")
    reach("reload.committed")
    return done


@dataclass(frozen=True, slots=True)
class _Making:
    """One call: what is known before the ledger is locked."""

    runtime: ExecutionRuntime
    execution: Execution
    params: PipelineParams
    corrections: Corrections
    csv: CsvOptions
    source: Place
    """The file that was loaded, or the first; the corrected rows go beside it."""
    folder: Path
    """For what goes elsewhere from here."""

    def insert(self, connection: sa.Connection) -> Reload:
        """Insert one execution for each chain that rows go to, and claim the rows."""
        root = self.execution.root_id
        hold_execution(connection, self.execution.id)  # its ledger goes with it
        claims = lock_claims(connection, root)
        done = Reload()
        groups: defaultdict[int | None, list[int]] = defaultdict(list)
        fates = _Fates(connection, claims)
        for number in self.corrections.rows:
            holder, chain = fates.of(number)
            if holder is not None:
                done.already[holder] = done.already.get(holder, 0) + 1
            else:
                groups[chain].append(number)
        for chain, numbers in groups.items():
            name = self._written(numbers)
            reach("reload.file_written")
            (made,) = insert_executions(connection, [self._new(chain, name)])
            if made is None:  # without a dedupe key an insert cannot be refused
                raise Conflict(f"execution {self.execution.id}: its rows could not be inserted")
            claims[made] = frozenset(numbers)
            done.executions[made] = len(numbers)
        write_claims(connection, root, claims)
        return done

    def _written(self, numbers: list[int]) -> str:
        """Write these rows to a file beside the user's; return what params call it."""
        here = self.source.here
        path = write_corrected(
            self.corrections,
            numbers,
            csv=self.csv,
            folder=self.folder if here is None else here.parent / FOLDER,
            stem=f"{self.execution.root_id}",
        )
        if here is not None:
            return self.runtime.paths.logical(path)
        place = self.source.beside(f"{FOLDER}/{path.name}")
        place.publish(path)
        return place.name

    def _new(self, chain: int | None, name: str) -> NewExecution:
        old = self.execution
        params = {key: old.params[key] for key in old.params if key not in _OF_THE_WHOLE_FILE}
        params["input_path"] = name
        params["csv"] = self.csv.model_dump(mode="json", exclude_defaults=True)
        dataset = dataset_of(self.params, self.runtime.registry.datasets)
        if mode_of(self.params, dataset) is Mode.REPLACE:
            params["mode"] = Mode.APPEND.value  # the other rows of the file are there
        self.runtime.registry.validate(old.handler_name, params)
        return NewExecution(
            handler_name=old.handler_name,
            params=params,
            param_source=old.param_source,
            trigger=Trigger.MANUAL if chain is None else Trigger.RETRY,
            root_execution_id=chain,
            serial_key=old.serial_key,
            priority=old.priority,
            max_attempts=old.max_attempts,
            timeout_seconds=old.timeout_seconds,
            retry_backoff_seconds=old.retry_backoff_seconds,
            # a replace for a later time than these rows' must not count as stale
            message_time=old.scheduled_time or old.message_time or old.created_at,
        )


class _Fates:
    """Which execution holds a row, or which chain it goes to."""

    def __init__(self, connection: sa.Connection, claims: Claims) -> None:
        """Look executions up once each."""
        self._connection = connection
        self._claims = claims
        self._chains: dict[int, list[Execution]] = {}

    def of(self, number: int) -> tuple[int | None, int | None]:
        """Return the execution that loaded the row or will; else None and the chain for it.

        The chain is None for a new one. Raises Conflict while the chain is busy with
        other rows.
        """
        newest = max((each for each, rows in self._claims.items() if number in rows), default=None)
        if newest is None:
            return None, None
        chain = self._chain(newest)
        if chain is None:
            return newest, None
        holding = [each for each in chain if self._may_hold(each, number, chain)]
        for each in holding:
            if each.status is Status.SUCCESS or each.status not in TERMINAL:
                return each.id, None
        busy = next((each for each in chain if each.status not in TERMINAL), None)
        if busy is not None:
            raise Conflict(f"execution {busy.id} runs; ask again when it has ended")
        spent = any(each.status is Status.SUCCESS for each in chain)
        return None, None if spent else chain[0].root_id

    def _chain(self, execution_id: int) -> list[Execution] | None:
        """Return the executions of the same load key; None when they were pruned."""
        if execution_id not in self._chains:
            try:
                claimant = get_execution(self._connection, execution_id)
            except NotFound:
                return None
            self._chains[execution_id] = chain_of(self._connection, claimant.root_id)
        return self._chains[execution_id]

    def _may_hold(self, execution: Execution, number: int, chain: list[Execution]) -> bool:
        """Whether the row is in the file that an execution reads.

        A retry reads the file of an execution that was made for it. When that one was
        pruned, nobody knows its rows, and the row counts as one of them.
        """
        path = execution.params.get("input_path")
        made_for = [
            self._claims[each.id]
            for each in chain
            if each.id in self._claims and each.params.get("input_path") == path
        ]
        return not made_for or any(number in rows for rows in made_for)


def params_of(runtime: ExecutionRuntime, execution: Execution) -> tuple[PipelineParams, CsvOptions]:
    """Return a pipeline execution's params, and how its file is written down."""
    parsed: Any = runtime.registry.parse(execution.handler_name, execution.params)
    dataset = dataset_of(parsed, runtime.registry.datasets)
    return parsed, csv_of(parsed.csv, dataset) or CsvOptions()


def _refuse_anothers(runtime: ExecutionRuntime, execution: Execution, loader: int | None) -> None:
    """Raise Conflict when the rows went in by another chain, which has the same rejects."""
    if loader in {None, execution.id}:
        return
    with transaction(runtime.engine) as connection:
        try:
            chain = get_execution(connection, loader).root_id
        except NotFound:  # pruned, or of another installation
            chain = None
    if chain != execution.root_id:
        raise Conflict(
            f"execution {execution.id}: the same content was loaded by execution {loader}; "
            "reload the rejects of that one"
        )


def _refuse_replaced(
    runtime: ExecutionRuntime, execution: Execution, params: PipelineParams
) -> None:
    """Raise Conflict when the table holds another file's rows by now."""
    registry = runtime.registry
    target = target_of(params, registry.declarations)
    url = runtime.databases.get(target.database)
    if url is None:
        raise InvalidParams(f"no database {target.database!r} is configured")
    load = execution.result["load"]
    _refuse_anothers(runtime, execution, load.get("loaded_by_execution"))
    load_id = load["load_id"]
    for past in list_loads(url, target.database, load_id=load_id):
        if past.undone_at is not None:
            raise Conflict(
                f"{target}: load {load_id} of execution {execution.id} was undone; load the "
                "corrected file as a whole"
            )
    later = replaced_by(url, target, load_id)
    if later is not None:
        raise Conflict(
            f"{target}: was replaced by load {later} after the one of execution {execution.id}; "
            "its rows do not belong there any more"
        )
