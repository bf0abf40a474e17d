"""The gate of the crash matrix: each crash point has a case, each rule a proof.

Reads the source, not what pytest collected, so that it holds when only some tests run.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.crash.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("jobu_core", "jobu_dagster", "jobu_admin")
NAME = re.compile(r"[a-z_]+\.[a-z_]+")


def _calls(function: str, *folders: str) -> Iterator[tuple[str, ast.Call]]:
    """Yield the calls of functions whose name ends so, in these folders, and where they stand."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text("utf-8")
            if f"{function}(" not in text:
                continue
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call) and _name(node).endswith(function):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def _name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Name):
        return call.func.id
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _argument(call: ast.Call, position: int, keyword: str) -> object:
    """Return a literal argument; None where it is absent or not a literal."""
    given = {each.arg: each.value for each in call.keywords}
    node = call.args[position] if len(call.args) > position else given.get(keyword)
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:
        return None


def _kept_cases(tree: ast.Module) -> Iterator[str]:
    """Yield the names under which a file keeps its cases."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            made = [node for node in ast.walk(statement.value) if isinstance(node, ast.Call)]
            if any(_name(call).endswith("Case") for call in made):
                yield from (ast.unparse(target) for target in statement.targets)


def points() -> list[tuple[str, object]]:
    """Return (where, name) of every crash point in the source."""
    calls = _calls("reach", *PACKAGES)
    return [(where, _argument(call, 0, "point")) for where, call in calls if _name(call) == "reach"]


def cases() -> list[tuple[str, object, object]]:
    """Return (where, point, rules) of every case; any class named ``…Case`` is one."""
    return [
        (where, _argument(call, 0, "point"), _argument(call, 1, "rules"))
        for where, call in _calls("Case", "tests/crash")
    ]


def marks() -> list[tuple[str, list[object]]]:
    """Return (where, rules) of every ``@pytest.mark.rule(…)``."""
    return [
        (where, [_argument(call, position, "") for position in range(len(call.args))])
        for where, call in _calls("rule", "tests")
        if ast.unparse(call.func) == "pytest.mark.rule"
    ]


@pytest.fixture(scope="module")
def proofs() -> list[tuple[str, object]]:
    """Return (where, rules) of every case and every mark."""
    by_case = [(where, rules) for where, _, rules in cases()]
    return by_case + [(where, tuple(rules)) for where, rules in marks()]


def test_each_point_has_a_name_of_its_own() -> None:
    """A literal ``area.what_was_just_done``, once in the source, or no case could mean it."""
    found = points()
    assert found
    bad = [where for where, name in found if not isinstance(name, str) or not NAME.fullmatch(name)]
    assert not bad
    counted = Counter(name for _, name in found)
    assert not [name for name, count in counted.items() if count > 1]


def test_each_point_has_a_case() -> None:
    """A place between two writes where no test ever killed a process proves nothing."""
    covered = {point for _, point, _ in cases()}
    assert not [f"{where}: {name}" for where, name in points() if name not in covered]


def test_each_case_dies_at_a_point_of_the_source() -> None:
    """A point that was renamed would otherwise leave a case that kills nobody."""
    known = {name for _, name in points()}
    assert not [f"{where}: {point}" for where, point, _ in cases() if point not in known]


def test_each_case_is_taken_by_a_test() -> None:
    """A list of cases that nothing in its file reads kills nobody."""
    idle = []
    for path in sorted((ROOT / "tests" / "crash").glob("test_*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        read = {
            node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        }
        idle += [f"{path.name}: {name}" for name in _kept_cases(tree) if name not in read]
    assert not idle


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_is_proved(rule: int, proofs: list[tuple[str, object]]) -> None:
    """Every rule of the engine has a case that dies under it, or a test that carries its number."""
    found = [where for where, rules in proofs if isinstance(rules, tuple) and rule in rules]
    assert found, f"rule {rule} has no proof: {RULES[rule]}"


def test_only_rules_that_exist_are_named(proofs: list[tuple[str, object]]) -> None:
    """A case or mark without rules, or with a number that is none, covers nothing."""
    assert not [
        f"{where}: {rules}"
        for where, rules in proofs
        if not isinstance(rules, tuple) or not rules or set(rules) - set(RULES)
    ]


def test_the_page_tells_of_every_rule() -> None:
    """docs/exactly_once.md has one row per rule, in order, and each row links its proof."""
    page = (ROOT / "docs" / "exactly_once.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| .+ \| (.+) \|$", page, re.MULTILINE)
    assert [int(rule) for rule, _ in rows] == list(RULES)
    assert not [rule for rule, shown in rows if "](../tests/" not in shown]


def test_the_page_links_where_each_rule_is_proved(proofs: list[tuple[str, object]]) -> None:
    """At least one file behind a rule's links has a case or a mark of that rule."""
    page = (ROOT / "docs" / "exactly_once.md").read_text("utf-8")
    for rule, shown in re.findall(r"^\| (\d+) \| .+ \| (.+) \|$", page, re.MULTILINE):
        linked = tuple(re.findall(r"\]\(\.\./([^)]+)\)", shown))
        proved = [
            where for where, rules in proofs if isinstance(rules, tuple) and int(rule) in rules
        ]
        assert [where for where in proved if where.startswith(linked)], f"rule {rule}: {proved}"
