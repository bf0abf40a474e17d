"""A configuration file cannot exhaust the process that reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobu_core.config import load_settings
from jobu_core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (_LAUGHS, "aliases are not allowed"),
        ("worker: &a\n  <<: *a\n", "aliases are not allowed"),
        (f"worker: {'[' * 100_000}", "nested"),
        (f"worker: {'{a: ' * 20_000}1{'}' * 20_000}", "nested"),
        ("worker:\n" + "\n".join(f"{'  ' * n}a:" for n in range(1, 300)), "nested"),
        (f"worker: {{slots: {'9' * 10_000}}}", "not valid YAML"),
        ("worker: !!python/object/apply:os.system ['true']", "not valid YAML"),
        ("worker: !!python/name:os.system ''", "not valid YAML"),
        ("worker: {? [a] : 1}", "a key must be a plain word"),
        ("worker: {? {a: b} : 1}", "a key must be a plain word"),
        ("worker: {<<: {slots: 1, slots: 2}}", "merge keys"),
        ("worker: {slots: 0o777777777777777777777777777777}", "worker.slots"),
        ("worker: " + "x" * 1_000_001, "larger than"),
        ("worker: {slots: 2001-99-99}", "not valid YAML"),
        ("worker: {slots: !!binary '\\xff'}", "worker.yaml"),
    ],
    ids=range(15),
)
def test_a_hostile_file_is_refused_with_its_name(tmp_path: Path, text: str, said: str) -> None:
    """One ConfigError in a moment, whatever YAML can express."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "worker.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path)
    told = str(caught.value)
    assert said in told
    assert len(told) < 500


def test_a_deep_value_in_the_environment_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists in the environment are JSON, and JSON can be deep as well."""
    monkeypatch.setenv("JOBU_HANDLERS__MODULES", "[" * 100_000)
    with pytest.raises(ConfigError, match="must be JSON"):
        load_settings(tmp_path)
