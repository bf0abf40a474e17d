"""Names of the tz database that still work and should not be written any more.

The database renames zones and keeps the old names as links; systems may leave the
links out (Debian has them in a package of their own), and then a job stops.
"""

from __future__ import annotations

import zoneinfo
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def new_name_of(name: str) -> str | None:
    """Return what ``name`` is called today; None for a current name, or an unknown one."""
    return _renamed().get(name)


@lru_cache(maxsize=1)
def _renamed() -> Mapping[str, str]:
    """Read the links that are no places of their own; empty where the lists are missing."""
    places = {line.split("\t")[2] for line in _lines("zone.tab") if line[:1].isupper()}
    links = (line.split() for line in _lines("tzdata.zi") if line.startswith("L "))
    return {
        name: target
        for _, target, name in links
        if name not in places and not target.startswith("Etc/") and places
    }


def _lines(file_name: str) -> Iterator[str]:
    for folder in zoneinfo.TZPATH:
        path = Path(folder, file_name)
        if path.is_file():
            yield from path.read_text("utf-8").splitlines()
            return
    try:
        text = resources.files("tzdata.zoneinfo").joinpath(file_name).read_text("utf-8")
    except (ModuleNotFoundError, OSError):
        return
    yield from text.splitlines()
