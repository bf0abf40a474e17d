"""``pipeline`` with ``fused: true``: the three stages as one stream, in one step.

What it returns and tells Dagster has the form that three stages give it. Nothing of
an earlier attempt is reused but what the manifest says: a load that was committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from jobu_core.crash_points import reach
from jobu_core.handlers.dataset_values import model_of, rejects_place_of, shown_path
from jobu_core.handlers.db_loader import Loading, request_for, tell_load
from jobu_core.handlers.measured import cost, timed
from jobu_core.handlers.pandas_preprocess import (
    emit_parquet,
    preprocess_as_json,
    wishes_of,
)
from jobu_core.handlers.placed import (
    place_file,
    place_rejects,
    refuse_same,
    rejects_placed,
)
from jobu_core.handlers.pydantic_validator import as_json, emit_valid, validation_options
from jobu_core.handlers.stages import depends_on, fingerprint
from jobu_core.pipeline.fused import FusedInput, FusedPlan, Places
from jobu_core.pipeline.load.engine import load_parquet
from jobu_core.pipeline.load.request import Mode, Outcome
from jobu_core.pipeline.model_columns import columns_of_model
from jobu_core.pipeline.places.place import rejects_of

if TYPE_CHECKING:
    from pathlib import Path

    from jobu_core.handlers.base import HandlerContext
    from jobu_core.handlers.pipeline import PipelineParams
    from jobu_core.pipeline.load.request import LoadResult
    from jobu_core.pipeline.places.place import Place
    from jobu_core.pipeline.sources import Input

    Report = dict[str, Any]


def run_fused(context: HandlerContext, params: PipelineParams, source: Input) -> Report:
    """Load the input in one pass and return the results of the three stages.

    Raises what the stages raise; after RowsRejected the rejects lie in the attempt's
    folder, or where the user wants them.
    """
    stream = FusedInput(_plan(context, params, source))
    invalid = _outputs(context, params).invalid
    with (
        timed(context.clock) as watch,
        rejects_placed(context, invalid, stream.plan.draft.invalid),
    ):
        result = load_parquet(request_for(context, params, stream, stream.input_sha256))
    reach("fused.loaded")
    told: Report = {}
    if result.outcome is Outcome.LOADED:
        told = _tell_made(context, params, stream)
    elif result.outcome is Outcome.ALREADY_LOADED:
        told = _tell_committed(context, params, stream, result)
    costs = cost(watch, read=source.paths)  # of the whole stream: it cannot be told apart
    stale = result.outcome is Outcome.STALE_REPLACE  # then nothing was published
    valid = stream.plan.draft.valid if stale else stream.places.valid
    loading = Loading(result, valid, costs)
    load = tell_load(context, params, loading, shown=source.name)
    if not stale:
        _forget(context, valid)
        reach("fused.file_forgotten")
    reason = {"reason": load["reason"]} if "reason" in load else {}
    return {"rows": load["rows"], **told, "load": load, **reason}


def _plan(context: HandlerContext, params: PipelineParams, source: Input) -> FusedPlan:
    model = model_of(params, context.declarations)
    options = validation_options(context, params)
    outputs = _outputs(context, params)
    refuse_same(source.names, outputs.valid, outputs.invalid)
    wanted, invalid = outputs.here
    folder = context.work_dir
    schema = {
        "core": model.__pydantic_core_schema__,
        "decimals": {name: list(each) for name, each in options.decimals.items()},
    }
    return FusedPlan(
        source=source,
        wishes=wishes_of(context, params),
        model=model,
        options=options,
        draft=Places(
            valid=wanted or folder / "valid.parquet",
            unprocessed=folder / "preprocess.rejects.parquet",
            invalid=invalid or folder / "validate.rejects.parquet",
        ),
        kept=partial(_kept, context, params, schema, (wanted, invalid)),
        read_by="jobu" if outputs.valid is None else "anyone",
        published=partial(_put, context, outputs),
    )


@dataclass(frozen=True, slots=True)
class _Outputs:
    """Where the user wants what the stream writes."""

    valid: Place | None
    invalid: Place | None
    """Beside the valid rows unless the params say where."""

    @property
    def here(self) -> tuple[Path | None, Path | None]:
        """Those on this machine."""
        return (
            None if self.valid is None else self.valid.here,
            None if self.invalid is None else self.invalid.here,
        )

    @property
    def elsewhere(self) -> dict[str, Place]:
        """Those that are not, by their names in a result."""
        places = {"output_path": self.valid, "rejects_path": self.invalid}
        return {
            key: place for key, place in places.items() if place is not None and place.here is None
        }


def _outputs(context: HandlerContext, params: PipelineParams) -> _Outputs:
    valid = None if params.valid_path is None else context.paths.place(params.valid_path)
    invalid = rejects_place_of(context, params)
    if invalid is None and valid is not None:
        invalid = rejects_of(valid)
    return _Outputs(valid, invalid)


def _put(context: HandlerContext, outputs: _Outputs, kept: Places) -> None:
    """Put what the user wants elsewhere there, the rejects first."""
    if outputs.invalid is not None:
        place_rejects(context, outputs.invalid, kept.invalid)
    if outputs.valid is not None and outputs.valid.here is None:
        place_file(context, outputs.valid, kept.valid)


def _kept(
    context: HandlerContext,
    params: PipelineParams,
    schema: object,
    wanted: tuple[Path | None, Path | None],
    input_sha256: str,
) -> Places:
    """Return where outputs lie in the end: where the user said, else among the stages' own."""
    valid, invalid = wanted
    folder = context.work_dir.parent.parent / str(context.root_execution_id) / "stages"
    made_from = fingerprint(input_sha256, depends_on(context, params), schema)
    return Places(
        valid=valid or folder / f"fused-{made_from}.parquet",
        unprocessed=folder / f"fused-preprocess-{made_from}.rejects.parquet",
        invalid=invalid or folder / f"fused-validate-{made_from}.rejects.parquet",
    )


def _tell_made(context: HandlerContext, params: PipelineParams, stream: FusedInput) -> Report:
    """Materialize what the stages made and return their results."""
    reports = stream.reports
    assert reports is not None  # noqa: S101 - a load without its seal does not commit
    transform = stream.plan.wishes.transform
    source = reports.validate.source_file
    before = preprocess_as_json(context, reports.preprocess, source, transform)
    checked = as_json(context, reports.validate)
    before["output_path"] = None
    checked["bytes_out"] = stream.places.valid.stat().st_size
    for key, place in _outputs(context, params).elsewhere.items():
        checked[key] = None if checked[key] is None else place.name
    return _told(context, params, before, checked, stream.places.valid)


def _tell_committed(
    context: HandlerContext, params: PipelineParams, stream: FusedInput, result: LoadResult
) -> Report:
    """Do the same for a load that an earlier attempt committed, as far as that is known."""
    places, plan = stream.places, stream.plan
    shared = {
        "input_path": plan.source.name,
        "source_sha256": stream.input_sha256(),
        "outcome": result.outcome.value,
    }
    before: Report = {
        "rows": None,
        "columns": [],
        "rejects_path": _found(context, places.unprocessed),
        **shared,
    }
    columns = columns_of_model(plan.model, plan.options.decimals)
    checked: Report = {
        "rows": None if result.mode == Mode.UPSERT else result.rows,
        "rejected": result.rejected,
        "columns": [[each.name, each.type.name] for each in columns],
        "output_path": _found(context, places.valid),
        "rejects_path": _found(context, places.invalid),
        **shared,
    }
    for key, place in _outputs(context, params).elsewhere.items():
        # rejects of an earlier run were not deleted, but emptied
        made = key == "output_path" or result.rejected
        checked[key] = place.name if made and place.exists() else None
    there = places.valid if places.valid.is_file() else None
    return _told(context, params, before, checked, there)


def _told(
    context: HandlerContext,
    params: PipelineParams,
    before: Report,
    checked: Report,
    valid: Path | None,
) -> Report:
    emit_parquet(context, params, {**before, "fused": True})
    emit_valid(context, params, {**checked, "fused": True}, valid)
    return {"preprocess": before, "validate": checked}


def _found(context: HandlerContext, path: Path) -> str | None:
    """Return the name of an output that is still there."""
    return shown_path(context, path) if path.is_file() else None


def _forget(context: HandlerContext, path: Path) -> None:
    """Remove a Parquet that only jobu knew of, once its rows are in the table."""
    if path.is_relative_to(context.work_dir.parent.parent):
        path.unlink(missing_ok=True)
