"""Pages say what the code says, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from jobu_core.config import DatabaseSettings, DatasetSettings, Settings
from jobu_core.dispatcher.queue import event, isolate, resolve
from jobu_core.models import Stage

PROJECT = Path(__file__).parents[2]
PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")])
ADRS = sorted((PROJECT / "docs" / "adr").glob("*.md"))


def test_every_code_of_a_dead_letter_is_on_the_page() -> None:
    """docs/events.md lists exactly the codes that ingest gives, stage by stage."""
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \|",
        (PROJECT / "docs" / "events.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    listed = {(code, stage) for code, stage in rows if stage in set(Stage)}
    decode = {(code, Stage.DECODE) for code in event.CODES}
    insert = {(code, Stage.INSERT) for code in {*isolate.CODES.values(), "not_storable"}}
    later = {code for code, stage in listed if stage in {Stage.RESOLVE, Stage.VALIDATE}}
    assert later == set(resolve.CODES)
    assert listed - {row for row in listed if row[0] in later} == decode | insert


def test_every_meaning_of_a_refused_message_is_the_codes_own() -> None:
    """What the page tells the sender is what the dead letter says."""
    page = (PROJECT / "docs" / "events.md").read_text(encoding="utf-8")
    for code, meaning in {**event.CODES, **resolve.CODES}.items():
        assert re.search(rf"^\| `{code}` \| \w+ \| {re.escape(meaning)} \|$", page, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    """A relative link names a file that exists."""
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_settings_that_the_operations_page_names_exist() -> None:
    """A renamed setting makes the page fail, whether written as a path or as a variable."""
    page = (PROJECT / "docs" / "operations.md").read_text(encoding="utf-8")
    sections = "|".join(Settings.model_fields)
    paths = set(re.findall(rf"`((?:{sections})(?:\.\w+)+)[`:]", page)) - {"handlers.yaml"}
    variables = set(re.findall(r"`JOBU_([A-Z_]+)", page)) - {"", "STACK", "DATABASE_URL"}
    written = {path.split(".", 1)[0]: path for path in paths}
    assert {"worker", "queue_dispatcher", "dispatcher", "databases", "admin"} <= set(written)
    for path in [*paths, *(name.lower().replace("__", ".") for name in variables)]:
        assert _setting_exists(path), path


def test_every_key_of_a_dataset_is_on_the_page() -> None:
    """docs/datasets.md lists what an entry of datasets.yaml may hold, and no more."""
    page = (PROJECT / "docs" / "datasets.md").read_text(encoding="utf-8")
    table = page.split("\n## Keys of a dataset\n")[1].split("\n## ")[0]
    first_cells = re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE)
    listed = [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(listed) == sorted(DatasetSettings.model_fields)


def _setting_exists(path: str) -> bool:
    model: Any = Settings
    for part in path.replace("databases.default", "databases").split("."):
        field = model.model_fields.get(part)
        if field is None:
            return False
        model = DatabaseSettings if part == "databases" else field.annotation
    return True


def test_decisions_are_numbered_without_gap_or_repetition() -> None:
    """ADR N is the file that begins with N, and its title repeats the number."""
    numbers = [int(path.name[:4]) for path in ADRS]
    assert numbers == list(range(1, len(ADRS) + 1))
    for path in ADRS:
        assert path.read_text(encoding="utf-8").startswith(f"# {int(path.name[:4])}. ")


def test_make_help_lists_every_target() -> None:
    """A target that does something says what; nothing else is declared."""
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    declared = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[0].split()
    described = re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE)
    assert sorted(declared) == sorted(described)
