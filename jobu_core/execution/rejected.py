"""Where the rejects of an execution are, and what they are rejects of."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobu_core.errors import Conflict, FileError
from jobu_core.models import Status
from jobu_core.pipeline.corrections import Rejected
from jobu_core.pipeline.places.local import LocalFile
from jobu_core.pipeline.rejects_read import problems_by_row
from jobu_core.pipeline.sources import InputFile, RowPlaces, SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jobu_core.execution.runtime import ExecutionRuntime
    from jobu_core.models import Execution
    from jobu_core.pipeline.places.place import Place

_PATTERN = "*.rejects.parquet"
_STAGES = ("preprocess", "validate")


@contextmanager
def reject_files(runtime: ExecutionRuntime, execution: Execution) -> Iterator[tuple[Path, ...]]:
    """Lend the files of an execution's rejects; none if it rejected nothing.

    A SUCCESS names them in its result; of another one those are looked for that its
    latest attempt left here. Raises FileError for one that is named and gone.
    """
    attempt = runtime.work_dir(execution.id, execution.attempt)
    stages = attempt.parent.parent / str(execution.root_id) / "stages"
    if execution.status is not Status.SUCCESS:
        yield (*sorted(stages.glob(_PATTERN)), *sorted(attempt.glob(_PATTERN)))
        return
    places = [
        runtime.paths.place(each) if "/" in each else LocalFile(stages / each, each)
        for each in _named(execution.result)
    ]
    for place in places:
        if not place.exists():
            raise FileError(
                f"execution {execution.id}: {place.name} is gone; rejects are kept as long as "
                "the work folder, unless rejects_path says where"
            )
    with _lent(places) as files:
        yield files


def rejected_of(runtime: ExecutionRuntime, execution: Execution) -> Rejected:
    """Return the rejects of a load that happened.

    Raises Conflict for an execution that loaded nothing or was no pipeline, and
    what ``reject_files`` raises.
    """
    result = execution.result if isinstance(execution.result, dict) else {}
    if execution.handler_name != "pipeline":
        raise Conflict(
            f"execution {execution.id} ran {execution.handler_name}; only rejects of pipeline "
            "can be exported and reloaded"
        )
    if execution.status is Status.SUCCESS and "load_key" in result:
        raise Conflict(
            f"execution {execution.id} was settled from the manifest after its worker died; "
            "its result does not say what it rejected"
        )
    load = result.get("load")
    if not isinstance(load, dict) or load.get("load_id") is None:
        raise Conflict(
            f"execution {execution.id} is {execution.status} and loaded nothing: correct the file "
            f"itself and load it again (`jobu executions retry {execution.id}`)"
        )
    told = result["preprocess"]
    _refuse_other_rows(execution, told.get("transform"))
    files = tuple(SourceFile(**each) for each in told.get("files", ()))
    with reject_files(runtime, execution) as rejects:
        problems = problems_by_row(rejects, RowPlaces(files))
    if not problems:
        raise Conflict(f"execution {execution.id} rejected no row")
    return Rejected(told["input_path"], told["source_sha256"], problems, files)


def _refuse_other_rows(execution: Execution, transform: Mapping[str, Any] | None) -> None:
    """Raise Conflict where a rejected row is not simply a row of the file, corrected or not."""
    if transform is None or not (transform["repeats"] or transform["scope"] == "file"):
        return
    made = "makes several rows of one" if transform["repeats"] else "looks at a file as a whole"
    raise Conflict(
        f"execution {execution.id}: transform {transform['name']} {made}, so its rejects cannot be "
        "corrected one by one; correct the file itself and load it again"
    )


def inputs_of(runtime: ExecutionRuntime, rejected: Rejected) -> tuple[Place, ...]:
    """Return the files that were loaded, in their order; they need not be there any more."""
    names = [each.name for each in rejected.files] or [rejected.source_name]
    return tuple(runtime.paths.place(name) for name in names)


@contextmanager
def opened_inputs(runtime: ExecutionRuntime, rejected: Rejected) -> Iterator[tuple[InputFile, ...]]:
    """Lend the files that were loaded; raises FileError when one is not there any more."""
    places = inputs_of(runtime, rejected)
    with _lent(places) as paths:
        yield tuple(InputFile(path, place.name) for path, place in zip(paths, places, strict=True))


@contextmanager
def _lent(places: Sequence[Place]) -> Iterator[tuple[Path, ...]]:
    """Lend the files of places, copies in a folder that goes afterwards."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jobu-rejects-")))
        yield tuple(stack.enter_context(place.opened(folder)) for place in places)


def _named(result: Any) -> Iterator[str]:  # noqa: ANN401 - a handler's own result
    """Yield the rejects files that a result names: its own, or those of its stages."""
    if not isinstance(result, dict):
        return
    parts: list[Mapping[str, Any]] = [result]
    parts += [result[stage] for stage in _STAGES if isinstance(result.get(stage), dict)]
    for part in parts:
        if isinstance(part.get("rejects_path"), str):
            yield part["rejects_path"]
