"""A data file as a person names it in a shell, and as a message would."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobu_core.errors import FileError, PathRefused
from jobu_core.pipeline.paths import Paths
from jobu_core.pipeline.places.s3_names import SCHEME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobu_core.config import Settings

FileArgument = Annotated[
    str,
    typer.Argument(metavar="FILE", help="A file under a data root, or /data/…, or s3://…."),
]


@contextmanager
def opened_file(settings: Settings, given: str) -> Iterator[tuple[Path, str]]:
    """Lend a file with its logical name; of an object in S3 a copy that goes afterwards.

    A path of this machine is tried first, then a logical one. Raises PathRefused
    for a file outside of the data roots and buckets, FileError for one that is not
    there.
    """
    paths = Paths.of(settings)
    if given.startswith(SCHEME):
        with (
            tempfile.TemporaryDirectory(prefix="jobu-") as folder,
            paths.place(given).opened(Path(folder)) as copy,
        ):
            yield copy, given
        return
    yield _found(paths, settings, given)


def _found(paths: Paths, settings: Settings, given: str) -> tuple[Path, str]:
    try:
        path = _of_this_machine(paths, given) or paths.resolve(given)
        logical = paths.logical(path)
    except PathRefused as error:
        roots = ", ".join(
            f"{folder} ({name})" for name, folder in settings.handlers.data_roots.items()
        )
        raise PathRefused(f"{error}; put the file below one of: {roots}") from None
    if not path.is_file():
        raise FileError(f"{logical}: no such file")
    return path, logical


def _of_this_machine(paths: Paths, given: str) -> Path | None:
    """Return the file that the shell means, if it is there and below a data root."""
    here = Path(given).expanduser()
    if not here.is_file():
        return None
    try:
        paths.logical(here)
    except PathRefused:
        return None
    return here.resolve()
