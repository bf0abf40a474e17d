"""Records of ``main.py`` processes, so that the background adds no second worker."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobu_core.services.layout import Layout


@dataclass(frozen=True, slots=True)
class Foreground:
    """A foreground process group and the parts it runs."""

    pid: int
    started: float
    """The process's creation time, which tells a reused pid."""
    parts: tuple[str, ...]


def record(layout: Layout, parts: Sequence[str]) -> None:
    """Record this process as running ``parts``; outlived records are ignored."""
    mine = Foreground(os.getpid(), psutil.Process().create_time(), tuple(parts))
    layout.foreground.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = layout.foreground / f"{mine.pid}.json"
    path.write_text(json.dumps(asdict(mine)), encoding="utf-8")


def running(layout: Layout) -> list[Foreground]:
    """Return the foreground processes that live, and forget those that ended."""
    alive: list[Foreground] = []
    for path in sorted(layout.foreground.glob("*.json")):
        try:
            read = json.loads(path.read_text(encoding="utf-8"))
            found = Foreground(read["pid"], read["started"], tuple(read["parts"]))
        except (OSError, ValueError, KeyError):
            continue
        if _is_alive(found):
            alive.append(found)
        else:
            for left in path.parent.glob(f"{path.stem}.*"):
                left.unlink(missing_ok=True)
    return alive


def runs(layout: Layout, part: str) -> bool:
    """Say whether a living foreground process runs ``part``."""
    return any(part in each.parts for each in running(layout))


def mark(layout: Layout, pid: int) -> str:
    """Return the address by which the children of a foreground process are known."""
    return f"{_mark_prefix(layout)}{pid}"


def is_orphan_of(layout: Layout, address: str) -> bool:
    """Say whether ``address`` marks a child of a foreground process that is dead."""
    pid = address.removeprefix(_mark_prefix(layout))
    return pid.isdigit() and not any(each.pid == int(pid) for each in running(layout))


def _mark_prefix(layout: Layout) -> str:
    return f"unix://{layout.foreground}/"


def _is_alive(found: Foreground) -> bool:
    try:
        return abs(psutil.Process(found.pid).create_time() - found.started) < 1
    except psutil.Error:
        return False
