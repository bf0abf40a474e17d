"""An undo that dies half way: the rows of the load are there, or gone and told so."""

from __future__ import annotations

from typing import TYPE_CHECKING, LiteralString

import psycopg
import pytest
import sqlalchemy as sa

from jobu_core.errors import Conflict
from jobu_core.execution.undo import undo_audited
from jobu_core.pipeline.load.engine import load_parquet
from jobu_core.store.engine import open_engine
from jobu_core.store.schema import audit_log
from tests.crash.cases import Case
from tests.crash.children import die
from tests.load_bench import items

if TYPE_CHECKING:
    from tests.load_bench import Bench

ITEMS: LiteralString = (
    "CREATE TABLE items (id bigint, name text, value double precision, _jobu_load_id bigint)"
)
UNDONE: LiteralString = "SELECT undone_by FROM jobu_loads WHERE load_id = 1"

BEFORE = (Case("undo.deleted", (1,)), Case("undo.marked", (1,)))
AFTER = (Case("undo.committed", (1,)), Case("undo.audited", (1,)))


def undo(url: str) -> None:
    """Take the first load back."""
    engine = open_engine(url)
    undo_audited(engine, url, "default", 1, who="ann", why="wrong file")
    engine.dispose()


def entries(url: str) -> list[tuple[str, str, str | None]]:
    """Return what the audit log says of undos."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        found = connection.execute(
            sa.select(audit_log.c.who, audit_log.c.subject, audit_log.c.why).where(
                audit_log.c.what == "loads.undo"
            )
        ).all()
    engine.dispose()
    return [(who, subject, why) for who, subject, why in found]


@pytest.fixture
def loaded(bench: Bench) -> Bench:
    """Return a table with ten rows of the load that is taken back, and ten of another."""
    bench.run(ITEMS)
    for execution in (1, 2):
        load_parquet(bench.request(items(10), execution_id=execution))
    return bench


@pytest.mark.parametrize("case", BEFORE, ids=str)
def test_an_undo_that_dies_before_its_commit_did_nothing(loaded: Bench, case: Case) -> None:
    """Asked again, it is done, and the log has it once."""
    die(case, undo, loaded.url)
    assert loaded.count("items") == 20
    assert loaded.value(UNDONE) is None
    assert entries(loaded.url) == []
    undo(loaded.url)
    assert loaded.count("items") == 10
    assert entries(loaded.url) == [("ann", "jobu_loads/default/1", "wrong file")]


@pytest.mark.parametrize("case", AFTER, ids=str)
def test_an_undo_that_dies_after_its_commit_is_told_by_the_manifest(
    loaded: Bench, case: Case
) -> None:
    """By whom, even when the log has no entry; it is not done twice."""
    die(case, undo, loaded.url)
    assert loaded.rows("SELECT DISTINCT _jobu_load_id FROM items") == [(2,)]
    assert loaded.value(UNDONE) == "ann"
    with pytest.raises(Conflict, match="undone already, by ann"):
        undo(loaded.url)
    assert loaded.count("items") == 10


def test_a_refused_undo_leaves_no_entry(loaded: Bench) -> None:
    """The log tells of changes only."""
    with psycopg.connect(loaded.url) as connection:
        connection.execute("DROP TABLE items")
    with pytest.raises(Conflict):
        undo(loaded.url)
    assert entries(loaded.url) == []
