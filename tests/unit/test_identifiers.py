"""Table names are read once, compared exactly and never cut."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobu_core.errors import InvalidParams
from jobu_core.pipeline.load.identifiers import (
    TableName,
    checked,
    is_allowed,
    parse_table,
    reserved,
)

NAMES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=15)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("items", TableName("default", "public", "items")),
        ("shop.items", TableName("default", "shop", "items")),
        ("dw.shop.items", TableName("dw", "shop", "items")),
        ("Items", TableName("default", "public", "Items")),
        ('"a.b"."c""d"', TableName("default", "a.b", 'c"d')),
        (" shop . items ", TableName("default", "shop", "items")),
        ("주문.항목", TableName("default", "주문", "항목")),
    ],
)
def test_names_of_one_to_three_parts(text: str, expected: TableName) -> None:
    """Missing parts are public and default; quotes protect dots; case counts."""
    assert parse_table(text) == expected


@given(NAMES, NAMES, NAMES)
def test_what_is_printed_is_read_again(database: str, schema: str, table: str) -> None:
    """str() of a name parses to the same name, whatever characters it has."""
    name = TableName(database, schema, table)
    assert parse_table(str(name)) == name


@given(NAMES)
def test_a_quoted_name_is_one_identifier(table: str) -> None:
    """Quoting leaves nothing of a name that the server could take as SQL."""
    quoted = TableName("default", "public", table).quoted.as_string()
    assert quoted == '"public"."' + table.replace('"', '""') + '"'


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", "a.b.c.d", '"a', 'a"b', '"a"b', '""']
)
def test_what_is_no_name_is_refused(text: str) -> None:
    """Half a name or half a quote is an error, not a guess."""
    with pytest.raises(InvalidParams, match="is not a table name"):
        parse_table(text)


def test_the_database_may_be_given_apart() -> None:
    """target_db fills the first part and must not contradict it."""
    assert parse_table("shop.items", database="dw").database == "dw"
    assert parse_table("dw.shop.items", database="dw").database == "dw"
    with pytest.raises(InvalidParams, match="target_db says 'other'"):
        parse_table("dw.shop.items", database="other")


def test_63_bytes_is_the_limit_and_bytes_are_counted() -> None:
    """PostgreSQL would cut the 64th byte and let two names collide."""
    assert checked("é" * 31 + "x") == "é" * 31 + "x"
    with pytest.raises(InvalidParams, match="has 64 bytes"):
        parse_table("public." + "é" * 32)


def test_the_limit_is_the_servers(postgres_url: str) -> None:
    """The number is asked of a real server."""
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute("SHOW max_identifier_length").fetchone()
    assert found == ("63",)


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        ("default.public.scratch_*", True),
        ("default.*.scratch_1", True),
        ("*.public.scratch_?", True),
        ("default.public.scratch", False),
        ("default.other.scratch_*", False),
        ("DEFAULT.public.scratch_*", False),
        ("*.*.other", False),
    ],
)
def test_free_tables_match_part_by_part(pattern: str, *, allowed: bool) -> None:
    """A star never reaches over a dot, and case counts."""
    assert is_allowed(parse_table("default.public.scratch_1"), [pattern]) is allowed


def test_a_star_does_not_reach_over_a_dot() -> None:
    """A table whose quoted name holds dots is not another schema's."""
    tricky = parse_table('default.public."x.secret"')
    assert not is_allowed(tricky, ["default.public.secret"])
    with pytest.raises(InvalidParams, match="of the form database"):
        is_allowed(tricky, ["*"])


@pytest.mark.parametrize(
    "text",
    [
        "default.public.job_executions",
        "default.public.workers",
        "default.public.dispatch_ledger",
        "dw.public.jobu_loads",
        "dw.any.JOBU_x",
        "default.dagster.runs",
        "dw.information_schema.tables",
        "dw.pg_catalog.pg_class",
        "dw.pg_temp.items",
    ],
)
def test_own_and_system_tables_are_reserved(text: str) -> None:
    """These names are refused before any database is asked."""
    assert reserved(parse_table(text)) is not None


@pytest.mark.parametrize(
    "text", ["default.public.sample", "dw.public.workers", "default.shop.workers"]
)
def test_other_names_are_free(text: str) -> None:
    """A user's table may share its name with one of the store's elsewhere."""
    assert reserved(parse_table(text)) is None
