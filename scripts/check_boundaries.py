"""Gate: the borders that import-linter cannot draw.

Private Dagster modules are known to one file; SQL is spoken in two packages;
the wall clock is the database's.
"""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING, Final

from scripts.tracked import report, tracked_texts

if TYPE_CHECKING:
    from collections.abc import Iterator

PRIVATE_DAGSTER: Final = ("jobu_dagster/private.py",)
SPEAKS_SQL: Final = ("jobu_core/store/", "jobu_core/pipeline/load/")
READS_THE_CLOCK: Final = (
    "jobu_core/clock.py",
    "jobu_core/services/doctor.py",  # compares this machine's clock with the database's
)

_STATEMENTS: Final = frozenset({"text", "select", "insert", "update", "delete"})
_DRIVERS: Final = frozenset(
    {"psycopg", "psycopg2", "pymysql", "adbc_driver_manager", "adbc_driver_postgresql"}
)
_WALL_CLOCK: Final = frozenset(
    {("time", "time"), ("datetime", "now"), ("datetime", "utcnow"), ("date", "today")},
)


def findings_in(path: str, source: str) -> Iterator[str]:
    """Yield ``path:line: which border is crossed`` for one module of the packages."""
    for node in ast.walk(ast.parse(source, path)):
        for found in _problems(path, node):
            yield f"{path}:{getattr(node, 'lineno', 1)}: {found}"


def _problems(path: str, node: ast.AST) -> Iterator[str]:
    for module in _imported(node):
        yield from _import_findings(path, module)
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=name)):
            yield from _call_findings(path, owner, name)


def _import_findings(path: str, module: str) -> Iterator[str]:
    package, *inside = module.split(".")
    private = package.startswith("dagster") and any(part.startswith("_") for part in inside)
    if private and path not in PRIVATE_DAGSTER:
        yield f"{module} is private to Dagster; go through {PRIVATE_DAGSTER[0]}"
    statement = package == "sqlalchemy" and inside[-1:] and inside[-1] in _STATEMENTS
    if (statement or package in _DRIVERS) and not path.startswith(SPEAKS_SQL):
        yield f"{module} is for {' and '.join(SPEAKS_SQL)} only"


def _call_findings(path: str, owner: str, name: str) -> Iterator[str]:
    if owner in {"sa", "sqlalchemy"} and name in _STATEMENTS and not path.startswith(SPEAKS_SQL):
        yield f"SQL is written in {' and '.join(SPEAKS_SQL)} only"
    if (owner, name) in _WALL_CLOCK and path not in READS_THE_CLOCK:
        yield f"{owner}.{name}() asks this machine for the time; jobu_now() says it"


def _imported(node: ast.AST) -> Iterator[str]:
    """Yield each imported module, and module.name for ``from module import name``."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def main() -> int:
    """Check every module of the three packages."""
    packages = ("jobu_core/*.py", "jobu_dagster/*.py", "jobu_admin/*.py")
    return report(
        "boundaries",
        (found for path, text in tracked_texts(*packages) for found in findings_in(path, text)),
    )


if __name__ == "__main__":
    sys.exit(main())
