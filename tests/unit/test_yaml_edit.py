"""Edits of a person's YAML: one addition, everything else as it was."""

from __future__ import annotations

import pytest
import yaml

from jobu_core.config.yaml_edit import with_entry, with_item
from jobu_core.errors import ConfigError

ENTRY = "orders:\n  input: /data/x.csv\n  rename:\n    'a: b': c\n"
HANDLERS = "handlers:\n  # mine\n  data_roots: {/data: ./data}   # here\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "datasets:\n",
        "datasets: {}  # none yet\n",
        "# head\ndatasets: # these\n  # none\n",
        "datasets:\n    sample:\n        input: x\n\n# the end\n",
        "datasets:\n  orders:\n    input: old # gone\n\n  # about b\n  b: {input: z}\n",
        "datasets:\n  orders:\n    rename:\n      a: b\n  b: {input: z}\n",
        "datasets:\n  a:\n    description: |\n      long\n  orders: {x: 1}",
        "datasets:\n  a:\n    description: |\n      long\n\n# the end\n",
    ],
)
def test_an_entry_is_added_or_replaced_and_comments_of_others_stay(text: str) -> None:
    """What is parsed is what was meant; every comment outside of the entry is still there."""
    edited = with_entry(text, "datasets", "orders", ENTRY)
    before = (yaml.safe_load(text) or {}).get("datasets") or {}
    meant = {**before, "orders": {"input": "/data/x.csv", "rename": {"a: b": "c"}}}
    assert yaml.safe_load(edited) == {"datasets": meant}
    comments = [line.strip() for line in text.splitlines() if line.strip().startswith("#")]
    assert [each for each in comments if each not in edited] == []


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        ("", "handlers:\n  modules: [m.o]\n"),
        ("handlers:\n  modules: []   # yours\n", "handlers:\n  modules: [m.o]   # yours\n"),
        ("handlers:\n  modules: [a]\n", "handlers:\n  modules: [a, m.o]\n"),
        ("handlers:\n  modules:\n", "handlers:\n  modules: [m.o]\n"),
        (
            "handlers:\n  modules:\n    - a   # k\n  # free\n  free_tables: []\n",
            "handlers:\n  modules:\n    - a   # k\n    - m.o\n  # free\n  free_tables: []\n",
        ),
        (HANDLERS, HANDLERS.replace("  data", "  modules: [m.o]\n  data")),
        ("handlers:\n  modules: [a, m.o]\n", "handlers:\n  modules: [a, m.o]\n"),
    ],
)
def test_an_item_is_added_once(text: str, edited: str) -> None:
    """In whichever of YAML's two ways the list is written."""
    assert with_item(text, "handlers", "modules", "m.o") == edited


def test_what_cannot_be_edited_is_refused_with_the_text_to_add() -> None:
    """A file is never rewritten in another style."""
    with pytest.raises(ConfigError, match=r"add by hand:\ndatasets:\n  orders:\n    input"):
        with_entry("datasets: {a: {input: x}}\n", "datasets", "orders", ENTRY)
    with pytest.raises(ConfigError, match=r"add by hand:\nhandlers:\n  modules: \[a, m\.o\]"):
        with_item("handlers:\n  modules: [\n    a,\n  ]\n", "handlers", "modules", "m.o")
    with pytest.raises(ConfigError, match="not valid YAML"):
        with_entry("datasets: [", "datasets", "orders", ENTRY)
