"""Pages as data: their fenced blocks, and which of the README's the tests execute."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

README: Final = Path(__file__).resolve().parents[1] / "README.md"
OPERATIONS: Final = README.parent / "docs" / "operations.md"
DATASETS: Final = README.parent / "docs" / "datasets.md"
MARK: Final = "<!-- executed by tests/e2e/test_readme.py -->"

_BLOCK: Final = re.compile(
    rf"(?P<mark>{re.escape(MARK)}\n)?```(?P<language>\w+)\n(?P<text>.*?)```\n",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    language: str
    text: str
    executed: bool


def blocks(language: str, page: Path = README) -> list[Block]:
    """Return a page's blocks of one language, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found["language"], found["text"], found["mark"] is not None)
        for found in _BLOCK.finditer(text)
        if found["language"] == language
    ]
