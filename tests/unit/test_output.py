"""Every listing prints a table for people or a JSON array for programs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jobu_admin.cli.output import print_record, print_rows

if TYPE_CHECKING:
    import pytest

ROW = {
    "id": 1,
    "at": datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
    "params": {"table": "[bold]주문[/bold]"},
    "key": b"\xff key",
    "note": None,
}


def test_json_holds_every_key_and_is_an_array(capsys: pytest.CaptureFixture[str]) -> None:
    """Programs see all fields, instants as ISO 8601, not only the shown columns."""
    print_rows([ROW], ["id"], as_json=True)
    assert json.loads(capsys.readouterr().out) == [
        {**ROW, "at": "2026-03-01T12:30:00+00:00", "key": "\\xff key"},
    ]


def test_json_of_nothing_is_an_empty_array(capsys: pytest.CaptureFixture[str]) -> None:
    """A program need not handle a sentence."""
    print_rows([], ["id"], as_json=True)
    assert json.loads(capsys.readouterr().out) == []


def test_a_table_of_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """A person sees a sentence instead of an empty screen."""
    print_rows([], ["id"], as_json=False, empty="no executions")
    assert capsys.readouterr().out == "no executions\n"


def test_a_table_shows_the_chosen_columns_and_interprets_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Markup in a user's value is printed, not obeyed."""
    print_rows([ROW], ["id", "params", "note"], as_json=False)
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split() == ["id", "params", "note"]
    assert line.split() == ["1", '{"table":', '"[bold]주문[/bold]"}', "-"]


def test_a_record_is_one_line_per_field(capsys: pytest.CaptureFixture[str]) -> None:
    """Names are aligned; instants carry their zone."""
    print_record({"id": 1, "created_at": ROW["at"]}, as_json=False)
    assert capsys.readouterr().out == "id          1\ncreated_at  2026-03-01 12:30:00Z\n"


def test_a_record_as_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    """A single thing is not wrapped in an array."""
    print_record({"id": 1}, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"id": 1}


def test_a_piped_row_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """What grep and awk read is never folded to a terminal's width."""
    print_rows([{"id": 1, "text": "word " * 100}], ["id", "text"], as_json=False)
    assert len(capsys.readouterr().out.splitlines()) == 2
