"""A process that dies inside a load: the rows are in the table once, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, LiteralString

import pytest

from jobu_core.models import Status
from tests.crash.audit import audit, audit_loads
from tests.crash.cases import Case
from tests.crash.children import die
from tests.crash.site import execute
from tests.fix_aftermath import LOAD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.fix_aftermath import Aftermath

WAYS: Mapping[str, Mapping[str, object]] = {
    "append": {},
    "delete": {"mode": "replace", "replace_strategy": "delete"},
    "swap": {"mode": "replace", "replace_strategy": "swap"},
    "create": {"target_table": "made", "create": True},
    "upsert": {"mode": "upsert", "keys": ["id"]},
    "add": {"on_new_column": "add"},
    "content": {"load_key": "content"},
}

_OLD_ROWS: LiteralString = "INSERT INTO items SELECT 1, 'old', 0 FROM generate_series(1, 3)"
_OLD_KEYS: LiteralString = "INSERT INTO items VALUES (9, 'old', 0), (-1, 'old', 0)"
_MERGED: LiteralString = """
SELECT count(*), count(*) FILTER (WHERE name = 'old'), count(*) FILTER (WHERE id > 0) FROM items
"""
_TABLES: LiteralString = """
SELECT relname, relnatts FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE (nspname = 'public' OR nspname LIKE 'pg_temp%')
   AND relkind = 'r' AND relname NOT LIKE 'jobu%loads'
 ORDER BY relname
"""


@dataclass(frozen=True)
class LoadCase(Case):
    """A death inside a load, and whether the load had been committed by then."""

    how: str = "append"
    committed: bool = False

    @property
    def params(self) -> dict[str, object]:
        """The params of db_loader."""
        return {**LOAD, **WAYS[self.how]}


LOADS = (
    LoadCase("manifest.table_created", (11, 14)),
    LoadCase("manifest.index_created", (11, 14)),
    LoadCase("manifest.committed", (11, 14)),
    LoadCase("load.older_attempts_ended", (11, 14)),
    LoadCase("load.claimed", (11, 14)),
    LoadCase("load.table_created", (11, 14), how="create"),
    LoadCase("copy.slice_sent", (11, 14)),
    LoadCase("copy.ended", (11, 14)),
    LoadCase("load.emptied", (11, 14), how="delete"),
    LoadCase("load.landed", (11, 14)),
    LoadCase("load.landed", (11, 14), how="delete"),
    LoadCase("load.manifest_finished", (11, 14)),
    LoadCase("load.committed", (11, 14), committed=True),
    LoadCase("load.committed", (11, 14), how="delete", committed=True),
    LoadCase("load.committed", (11, 14), how="swap", committed=True),
    LoadCase("load.analyzed", (11, 14), committed=True),
    LoadCase("swap.staged", (11, 14), how="swap"),
    LoadCase("swap.filled", (11, 14), how="swap"),
    LoadCase("swap.locked", (11, 14), how="swap"),
    LoadCase("swap.old_renamed", (11, 14), how="swap"),
    LoadCase("swap.new_renamed", (11, 14), how="swap"),
    LoadCase("swap.old_dropped", (11, 14), how="swap"),
    LoadCase("swap.belongings_put_on", (11, 14), how="swap"),
    LoadCase("swap.granted", (11, 14), how="swap"),
    LoadCase("upsert.staging_made", (11, 14), how="upsert"),
    LoadCase("upsert.staged", (11, 14), how="upsert"),
    LoadCase("upsert.merged", (11, 14), how="upsert"),
    LoadCase("load.committed", (11, 14), how="upsert", committed=True),
    LoadCase("load.columns_added", (11, 14), how="add"),
    LoadCase("load.manifest_finished", (11, 14), how="add"),
)


def case_name(case: LoadCase) -> str:
    """Return how a case is called in the output."""
    return f"{case.point}-{case.how}"


@pytest.mark.parametrize("case", LOADS, ids=case_name)
def test_a_load_that_dies_is_whole_or_nothing(aftermath: Aftermath, case: LoadCase) -> None:
    """Readers see the old rows or the new ones; the next attempt loads once, or finds it done."""
    aftermath.load_target()
    table = "made" if case.how == "create" else "items"
    if case.how in {"delete", "swap"}:
        aftermath.target.run(_OLD_ROWS)
    if case.how == "upsert":
        aftermath.target.run("CREATE UNIQUE INDEX ON items (id)", _OLD_KEYS)
    if case.how == "add":
        aftermath.target.run("ALTER TABLE items DROP COLUMN value")
    tables = aftermath.target.rows(_TABLES)
    batch = aftermath.launched("db_loader", params=case.params)

    die(case, execute, aftermath.site, batch)
    if case.how == "create":
        assert aftermath.target.rows(_TABLES) == tables
    else:
        before = {"delete": 3, "swap": 3, "upsert": 2}.get(case.how, 0)
        after = 11 if case.how == "upsert" else 10
        assert aftermath.target.count("items") == (after if case.committed else before)
        assert aftermath.target.rows(_TABLES) == tables

    aftermath.settle()
    (row,) = aftermath.rows(batch)
    assert (row.status, row.attempt) == (Status.SUCCESS, 2)
    assert isinstance(row.result, dict)
    assert row.result["outcome"] == ("already_loaded" if case.committed else "loaded")
    audit(aftermath.runtime.engine)
    if case.how == "upsert":
        assert aftermath.target.rows(_MERGED) == [(11, 1, 10)]
        assert aftermath.target.rows("SELECT rows FROM jobu_loads") == [(10,)]
        return
    audit_loads(aftermath.site.url, f"public.{table}")
    assert aftermath.target.count(table) == 10


LAST = (
    LoadCase("load.manifest_finished", (11,)),
    LoadCase("load.committed", (11,), committed=True),
    LoadCase("load.committed", (11,), how="swap", committed=True),
    LoadCase("load.manifest_finished", (11,), how="content"),
    LoadCase("load.committed", (11,), how="content", committed=True),
    LoadCase("attempt.work_ended", (11,), committed=True),
    LoadCase("finish.row_written", (11,), committed=True),
)


@pytest.mark.parametrize("case", LAST, ids=case_name)
def test_a_lost_last_attempt_is_what_the_manifest_says(
    aftermath: Aftermath,
    case: LoadCase,
) -> None:
    """SUCCESS if its load was committed, FAILED and no row in the table if not."""
    aftermath.load_target()
    batch = aftermath.launched("db_loader", params=case.params, max_attempts=1)
    die(case, execute, aftermath.site, batch)
    aftermath.settle()
    (row,) = aftermath.rows(batch)
    expected = (
        (Status.SUCCESS, "already_committed") if case.committed else (Status.FAILED, "worker_lost")
    )
    assert (row.status, row.reason) == expected
    assert aftermath.target.count("items") == (10 if case.committed else 0)
    audit(aftermath.runtime.engine)
    audit_loads(aftermath.site.url, "public.items")
