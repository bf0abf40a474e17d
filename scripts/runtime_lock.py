"""Print the part of requirements.lock that jobu needs at run time, for its image.

There is one lock, tests' and tools' packages included. Which of them the program
needs follows from ``pyproject.toml`` and from the ``# via`` comments of pip-compile.
Uses the standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_ROOT: Final = Path(__file__).resolve().parent.parent
_PROJECT: Final = "jobu"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Entry:
    """One pin of the lock with its hashes, and who asked for it."""

    name: str
    text: str
    via: frozenset[str]


def entries(lock: str) -> Iterator[Entry]:
    """Yield the lock's pins in order."""
    block: list[str] = []
    for line in [*filter(None, lock.splitlines()), "end"]:
        if block and not line.startswith(" "):
            yield _entry(block)
            block = []
        block.append(line)


def needed(roots: Iterable[str], found: Iterable[Entry]) -> list[Entry]:
    """Return the entries that ``roots`` need, themselves and through others."""
    known = {entry.name: entry for entry in found}
    wanted = {canonical(root) for root in roots}
    missing = wanted - set(known)
    if missing:
        raise SystemExit(f"requirements.lock lacks {', '.join(sorted(missing))}; run `make lock`")
    before = 0
    while len(wanted) > before:
        before = len(wanted)
        wanted |= {name for name, entry in known.items() if entry.via & wanted}
    return [entry for name, entry in known.items() if name in wanted]


def roots_of(project: Mapping[str, Any]) -> list[str]:
    """Return the names that pyproject.toml wants at run time and to build jobu."""
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    return [_name(text) for text in wanted]


def canonical(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _name(text: str) -> str:
    match = _NAME.match(text)
    if match is None:
        raise SystemExit(f"no package's name: {text!r}")
    return canonical(match[0])


def _entry(block: list[str]) -> Entry:
    comments = [line.strip().removeprefix("#").strip() for line in block if "--hash" not in line]
    asked = (text.removeprefix("via").strip() for text in comments[1:])
    via = frozenset(_name(text) for text in asked if text) - {_PROJECT}
    return Entry(_name(block[0]), "\n".join(block), via)


def main() -> None:
    """Write the shorter lock to standard output."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lock = (_ROOT / "requirements.lock").read_text(encoding="utf-8")
    for entry in needed(roots_of(project), entries(lock)):
        sys.stdout.write(entry.text + "\n")


if __name__ == "__main__":
    main()
