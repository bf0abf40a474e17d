"""The handler ``pipeline``: preprocess, validate and load, as three stages or as one.

Each stage does what the handler of its own does. Between them lie Parquet files
that a later attempt reuses; what a user named with ``output_path`` or
``valid_path`` is written anew each time and kept. With ``fused: true`` there is
nothing between them (``fused.py``), and the last stage does the work of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import StrictBool, model_validator

from jobu_core.crash_points import reach
from jobu_core.errors import FileError
from jobu_core.handlers.base import StagedHandler, handler
from jobu_core.handlers.dataset_values import (
    check_load,
    dataset_of,
    decimals_of,
    input_of,
    model_of,
    rejects_place_of,
    shown_path,
)
from jobu_core.handlers.db_loader import committed_load, load_file
from jobu_core.handlers.fused import run_fused
from jobu_core.handlers.pandas_preprocess import (
    INPUT_MISSING,
    check_preprocess,
    emit_parquet,
    found_input,
    write_rows,
)
from jobu_core.handlers.params import LoadParams, PreprocessParams, ValidateParams
from jobu_core.handlers.placed import (
    place_file,
    place_rejects,
    refuse_same,
    rejects_placed,
    write_placed,
)
from jobu_core.handlers.pydantic_validator import check_rows, emit_valid
from jobu_core.handlers.stages import depends_on, fingerprint, shelf
from jobu_core.pipeline.parquet_writer import file_sha256
from jobu_core.pipeline.places.place import rejects_of
from jobu_core.pipeline.sources import InputFile, sha256_of_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobu_core.handlers.base import Declarations, HandlerContext, Identity
    from jobu_core.handlers.placed import Write
    from jobu_core.handlers.stages import Shelf
    from jobu_core.pipeline.parquet_writer import Reader
    from jobu_core.pipeline.places.place import Place

    Report = dict[str, Any]


class PipelineParams(PreprocessParams, ValidateParams, LoadParams):
    """Params of ``pipeline``: those of its three stages; all may come from ``dataset``."""

    input_path: str | None = None
    """The CSV file, or a pattern for several; the dataset's input unless given."""
    output_path: str | None = None
    """Where to keep the preprocessed Parquet; not kept unless given."""
    valid_path: str | None = None
    """Where to keep the Parquet of the valid rows; not kept unless given."""
    fused: StrictBool = False
    """One stream instead of three stages, run by the job ``pipeline_fused``."""

    @model_validator(mode="after")
    def _nothing_between(self) -> Self:
        if self.fused and self.output_path is not None:
            raise ValueError(
                "output_path: a fused pipeline writes no preprocessed Parquet; leave it out, "
                "or set fused: false"
            )
        return self


@handler("pipeline")
class Pipeline(StagedHandler):
    """A CSV file into a table: preprocessed, validated, loaded."""

    Params = PipelineParams
    stages = ("preprocess", "validate", "load")
    fusible = True

    def check(self, params: PipelineParams, declared: Declarations) -> None:
        """Refuse what one of the three stages would refuse."""
        check_preprocess(params, declared)
        input_of(params.input_path, dataset_of(params, declared.datasets))
        model_of(params, declared)
        check_load(params, declared)

    def committed(self, params: PipelineParams, identity: Identity) -> Mapping[str, Any] | None:
        """Return what the manifest says of this execution's load."""
        return committed_load(params, identity)

    def run_stage(
        self,
        stage: str,
        context: HandlerContext,
        params: PipelineParams,
        carried: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        """Run one stage; a missing input that may be skipped skips all of them."""
        if params.fused:
            return _fused(context, params) if stage == self.stages[-1] else {}
        if carried.get("reason") == INPUT_MISSING:
            return {}
        if stage == "preprocess":
            return _preprocess(context, params)
        if stage == "validate":
            return _validate(context, params, carried)
        return _load(context, params, carried)


def _fused(context: HandlerContext, params: PipelineParams) -> Report:
    with found_input(context, params, params.input_path) as source:
        if source is None:
            return {"rows": 0, "reason": INPUT_MISSING}
        return run_fused(context, params, source)


def _preprocess(context: HandlerContext, params: PipelineParams) -> Report:
    with found_input(context, params, params.input_path) as source:
        if source is None:
            return {"rows": 0, "reason": INPUT_MISSING}

        def write(output: Path, rejects: Path | None) -> Report:
            return write_rows(
                context, params, source, output, rejects, read_by=_reader(params.output_path)
            )

        step = _Step("preprocess", source.paths, source.names, _place(context, params.output_path))
        path, told = _kept_or_shelved(context, params, step, write)
    emit_parquet(context, params, told, path)
    return {"rows": told["rows"], "preprocess": {**told, "file": str(path)}}


def _validate(
    context: HandlerContext, params: PipelineParams, carried: Mapping[str, Any]
) -> Report:
    before = carried["preprocess"]
    source = InputFile(Path(before["file"]), before["input_path"])

    def write(output: Path, rejects: Path | None) -> Report:
        return check_rows(
            context, params, source, output, rejects, read_by=_reader(params.valid_path)
        )

    model = model_of(params, context.declarations)
    digits = {name: list(each) for name, each in decimals_of(context, params, model).items()}
    names = [each["name"] for each in before.get("files", ())] or [before["input_path"]]
    step = _Step(
        "validate",
        (source.path,),
        (*names, before["output_path"]),
        _place(context, params.valid_path),
        rejects_place_of(context, params),
        {"core": model.__pydantic_core_schema__, "decimals": digits},
    )
    path, told = _kept_or_shelved(context, params, step, write)
    emit_valid(context, params, told, path)
    return {"rows": told["rows"], "validate": {**told, "file": str(path)}}


def _load(context: HandlerContext, params: PipelineParams, carried: Mapping[str, Any]) -> Report:
    before = carried["validate"]
    told = load_file(context, params, Path(before["file"]), shown=before["input_path"])
    reach("pipeline.loaded")
    for stage in ("preprocess", "validate"):
        _forget(context, Path(carried[stage]["file"]))
        reach("pipeline.file_forgotten")
    reason = {"reason": told["reason"]} if "reason" in told else {}
    return {"rows": told["rows"], "load": told, **reason}


@dataclass(frozen=True, slots=True)
class _Step:
    """A stage that writes a file: what it reads, and where the user wants its outputs."""

    name: str
    files: tuple[Path, ...]
    names: tuple[str, ...]
    """What the user calls the files that were read so far; no output may replace them."""
    wanted: Place | None
    rejects: Place | None = None
    schema: object = None

    @property
    def rejects_elsewhere(self) -> Place | None:
        """Where rejects go from this machine, if they do."""
        beside = None if self.wanted is None else rejects_of(self.wanted)
        place = self.rejects or beside
        return place if place is not None and place.here is None else None

    def sha256(self) -> str:
        """Return the hash of what it reads."""
        return sha256_of_files(file_sha256(each) for each in self.files)


def _place(context: HandlerContext, wanted: str | None) -> Place | None:
    return None if wanted is None else context.paths.place(wanted)


def _reader(wanted: str | None) -> Reader:
    """Return who reads a stage's output next: what a user named, others may."""
    return "jobu" if wanted is None else "anyone"


def _kept_or_shelved(
    context: HandlerContext, params: PipelineParams, step: _Step, write: Write
) -> tuple[Path, Report]:
    """Write where the user said on this machine, else publish for this attempt and later ones.

    What the user wants elsewhere is put there from what was published.
    """
    if step.wanted is not None and step.wanted.here is not None:
        told = write_placed(
            context, write, sources=step.names, output=step.wanted, rejects=step.rejects
        )
        return step.wanted.here, told
    refuse_same(step.names, step.wanted, step.rejects)
    place, told = _shelved(context, params, step, write)
    if step.rejects_elsewhere is not None:
        place_rejects(context, step.rejects_elsewhere, place.rejects)
        if told["rejects_path"] is not None:
            told["rejects_path"] = step.rejects_elsewhere.name
    if step.wanted is not None:
        place_file(context, step.wanted, place.path)
        told["output_path"] = step.wanted.name
    return place.path, told


def _shelved(
    context: HandlerContext, params: PipelineParams, step: _Step, write: Write
) -> tuple[Shelf, Report]:
    """Publish the stage's output, or find it published."""
    read = step.sha256()
    place = shelf(context, step.name, fingerprint(read, depends_on(context, params), step.schema))
    found = place.published()
    if found is not None:
        context.logger.info("stage output reused", stage=step.name, file=place.path.name)
        return place, {**found, "reused": True}
    here = None if step.rejects is None else step.rejects.here
    with rejects_placed(context, step.rejects_elsewhere, place.draft_rejects):
        told = write(place.draft, here or place.draft_rejects)
    if step.sha256() != read:
        raise FileError(f"{told['input_path']}: changed while it was read")
    if told["rejects_path"] == place.draft_rejects.name:
        told["rejects_path"] = shown_path(context, place.rejects)
    place.publish(told)
    return place, told


def _forget(context: HandlerContext, path: Path) -> None:
    """Remove a stage's output that only jobu knew of, once it is in the table."""
    if path.is_relative_to(context.work_dir.parent.parent):
        path.unlink(missing_ok=True)
