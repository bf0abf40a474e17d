"""Files of a user as stages take them: inputs lent, outputs written whole where they lie.

A stage works on local paths. What lies elsewhere is copied into the attempt's
folder for as long as it is read, and put in place when the stage has ended well.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jobu_core.errors import InvalidParams, RowsRejected
from jobu_core.pipeline.parquet_writer import write_parquet
from jobu_core.pipeline.places.place import rejects_of
from jobu_core.pipeline.rejects import REJECTS_SCHEMA
from jobu_core.pipeline.sources import InputFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jobu_core.handlers.base import HandlerContext
    from jobu_core.pipeline.places.place import Place

    Report = dict[str, Any]
    Write = Callable[[Path, Path | None], Report]
    Tell = Callable[[Report, Path], None]


@contextmanager
def lent(context: HandlerContext, place: Place) -> Iterator[InputFile]:
    """Lend the file of a place to a stage; raises what ``Place.opened`` raises."""
    with place.opened(context.work_dir) as path:
        yield InputFile(path, place.name)


def write_placed(
    context: HandlerContext,
    write: Write,
    tell: Tell = lambda _told, _path: None,
    *,
    sources: tuple[str, ...],
    output: Place,
    rejects: Place | None,
) -> Report:
    """Let ``write`` make output and rejects, and put them in place, the output last.

    ``tell`` gets the report and a path of the output on this machine afterwards. Raises
    what ``write`` raises, InvalidParams when an output is a source; after RowsRejected
    the rejects are in place and the output is as it was.
    """
    refuse_same(sources, output, rejects)
    turned_away = rejects or rejects_of(output)
    work = context.work_dir
    with output.draft(work) as path, turned_away.draft(work) as rejects_path:
        with rejects_placed(context, turned_away, rejects_path):
            told = write(path, rejects_path)
        place_rejects(context, turned_away, rejects_path)
        place_file(context, output, path)
        told["output_path"] = output.name
        told["rejects_path"] = None if told["rejects_path"] is None else turned_away.name
        tell(told, path)
    return told


def place_file(context: HandlerContext, place: Place, draft: Path) -> None:
    """Publish a finished file, unless the attempt has lost its row."""
    if place.here is None:
        context.check_lease()
    place.publish(draft)


def place_rejects(context: HandlerContext, place: Place, draft: Path) -> None:
    """Publish the rejects of a stage; an earlier run's, if there are none, become empty.

    On this machine the writer has done it. In S3 nothing is ever deleted.
    """
    if place.here is not None:
        return
    if not draft.is_file():
        if not place.exists():
            return
        with write_parquet(draft, REJECTS_SCHEMA):
            pass
    place_file(context, place, draft)


@contextmanager
def rejects_placed(context: HandlerContext, place: Place | None, draft: Path) -> Iterator[None]:
    """Publish what lies at ``draft`` when the block ends in RowsRejected, and let it go on."""
    try:
        yield
    except RowsRejected:
        if place is not None:
            place_rejects(context, place, draft)
        raise


def refuse_same(sources: tuple[str, ...], *places: Place | None) -> None:
    """Raise InvalidParams if two places, or a source and a place, have one name."""
    taken = set(sources)
    for place in places:
        if place is not None and place.name in taken:
            raise InvalidParams(
                f"{place.name}: would be written over, it is read or written already"
            )
        taken |= set() if place is None else {place.name}
