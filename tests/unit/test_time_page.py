"""docs/time.md names what there is: every policy, reason and warning, and no other."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobu_core.dispatcher.cron import lint
from jobu_core.dispatcher.cron.fire_times import fire_times
from jobu_core.models import DstPolicy, OverlapPolicy, SkipReason

if TYPE_CHECKING:
    from enum import StrEnum

_NOW = datetime(2026, 3, 2, tzinfo=UTC)
_PAGE = Path(__file__).resolve().parents[2].joinpath("docs", "time.md").read_text("utf-8")


def _first_column(header: str) -> list[str]:
    """Return the names in backticks of the first column of the table with this header."""
    table = _PAGE.split(f"| {header} |", 1)[1].split("\n\n", 1)[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize(
    ("header", "names"),
    [("02:30 in Berlin", DstPolicy), ("policy", OverlapPolicy), ("reason", SkipReason)],
)
def test_the_page_lists_every_value(header: str, names: type[StrEnum]) -> None:
    """A policy or reason that the page does not explain is a riddle to its reader."""
    assert sorted(_first_column(header)) == sorted(names)


def test_the_page_lists_every_warning_with_an_example_that_gets_it() -> None:
    """The codes of the source, and each example really is warned of by that code."""
    source = Path(lint.__file__).read_text("utf-8")
    in_source = re.findall(r'^ +"([a-z_]+)"(?: if |,$)', source, re.MULTILINE)
    in_source += re.findall(r'else "([a-z_]+)",$', source, re.MULTILINE)
    in_source += re.findall(r'CronWarning\("([a-z_]+)"', source)
    assert sorted(_first_column("warning")) == sorted(set(in_source))
    for code, example in re.findall(r"^\| `(\w+)` \| `([^`]*\*)` \|", _PAGE, re.MULTILINE):
        found = lint.warnings_of(example, fire_times(example, "UTC"), _NOW)
        assert [each.code for each in found] == [code]


def test_differences_to_dagster_are_those_that_a_test_pins() -> None:
    """Each expression of the table is a case of test_fire_times_differ.py, and the reverse."""
    pinned = Path(__file__).parents[1].joinpath("dagster", "test_fire_times_differ.py")
    cases = re.findall(r'^        \("([^"]+)", "[A-Z]', pinned.read_text("utf-8"), re.MULTILINE)
    assert sorted(_first_column("expression, zone")) == sorted(cases)
