"""Gate: short files, no paths of a machine, no promises, no unexplained exceptions."""

from __future__ import annotations

import ast
import re
import sys
from typing import TYPE_CHECKING, Final

from scripts.tracked import report, tracked_texts

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINES: Final = 400

# Written so that no pattern matches its own line.
_TEXT_RULES: Final = (
    (re.compile(r"(?:^|[^\w.$}])/(?:t[m]p|r[o]ot|h[o]me)/"), "a path of one machine"),
    (re.compile(r"--(?:extra-)?ind[e]x-url"), "a package index"),
)
_PYTHON_RULES: Final = (
    (re.compile(r"\b(?:T[O]DO|F[I]XME|X[X]X)\b"), "a promise instead of code"),
    (re.compile(r"\bNotImplemented[E]rror\b"), "a stub"),
    (re.compile(r"# no[q]a(?!: [A-Z]+\d+(?:, [A-Z]+\d+)* - \S)"), "noqa without code or reason"),
    (re.compile(r"# type: ign[o]re(?!\[[\w, -]+\])"), "type: ignore without code"),
    (re.compile(r"# pragma: no c[o]ver"), "code that no test reaches"),
)
_TEST_RULES: Final = (
    (re.compile(r"@pytest\.mark\.(?:sk[i]p|xf[a]il)\b"), "a test that does not run"),
)


def findings_in(path: str, text: str) -> Iterator[str]:
    """Yield ``path:line: what is wrong`` for one file."""
    rules = list(_TEXT_RULES)
    if path.endswith(".py"):
        rules += _PYTHON_RULES
        lines = text.count("\n")
        if lines > MAX_LINES:
            yield f"{path}:{lines}: more than {MAX_LINES} lines; split it by concept"
    if path.startswith("tests/") and path.endswith(".py"):
        rules += _TEST_RULES
        yield from _sleeps(path, text)
    for number, line in enumerate(text.splitlines(), start=1):
        for pattern, problem in rules:
            if pattern.search(line):
                yield f"{path}:{number}: {problem}"


def _sleeps(path: str, text: str) -> Iterator[str]:
    """Yield the sleeps of a test itself; a program it starts may well be slow."""
    for node in ast.walk(ast.parse(text, path)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="time"), attr="sleep")):
                yield f"{path}:{node.lineno}: a sleep; wait for a condition with a deadline"


def main() -> int:
    """Check every file that git tracks or would track."""
    return report(
        "files",
        (found for path, text in tracked_texts() for found in findings_in(path, text)),
    )


if __name__ == "__main__":
    sys.exit(main())
