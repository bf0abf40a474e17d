"""docs/state_machine.md draws exactly the transitions that the code knows."""

from __future__ import annotations

import re
from pathlib import Path

from jobu_core.models import TERMINAL, TRANSITIONS, Status

PAGE = Path(__file__).parents[2] / "docs" / "state_machine.md"


def drawn() -> list[tuple[str, str]]:
    """Return the arrows of the page's diagram."""
    diagram = PAGE.read_text(encoding="utf-8").split("```mermaid")[1].split("```")[0]
    return re.findall(r"^\s*(\S+) --> (\S+)", diagram, re.MULTILINE)


def test_every_arrow_is_a_transition_and_every_transition_an_arrow() -> None:
    """Nothing is drawn that cannot happen, nothing happens that is not drawn."""
    known = [(old.value, new.value) for old, targets in TRANSITIONS.items() for new in targets]
    arrows = [arrow for arrow in drawn() if "[*]" not in arrow]
    assert sorted(arrows) == sorted(known)


def test_begin_and_ends_are_marked() -> None:
    """A row begins as PENDING; exactly the terminal statuses lead out."""
    marked = [arrow for arrow in drawn() if "[*]" in arrow]
    ends = [("[*]", Status.PENDING.value), *((status.value, "[*]") for status in TERMINAL)]
    assert sorted(marked) == sorted(ends)


def test_every_status_is_explained() -> None:
    """The table of meanings leaves no status out."""
    table = PAGE.read_text(encoding="utf-8").split("## What a status means")[1].split("##")[0]
    cells = "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("|"))
    assert {status.value for status in Status} <= set(re.findall(r"[A-Z]+", cells))
