"""The files a gate looks at: what git tracks or would track, as (path, text)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT: Final = Path(__file__).resolve().parent.parent
_LISTING: Final = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--")


def tracked_texts(*patterns: str) -> Iterator[tuple[str, str]]:
    """Yield path and text of each tracked or new file that matches; skips binary ones."""
    listing = subprocess.run(
        [*_LISTING, *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in sorted(filter(None, listing.stdout.split("\0"))):
        try:
            yield name, (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue


def report(gate: str, findings: Iterable[str]) -> int:
    """Print each finding and a closing line; return the exit code."""
    count = 0
    for finding in findings:
        count += 1
        sys.stdout.write(f"{finding}\n")
    sys.stdout.write(f"{gate}: {f'{count} to repair' if count else 'clean'}\n")
    return 1 if count else 0
