"""Adds to a person's YAML files and leaves every other character as it is.

An edit is a piece of text at one place. What comes out is parsed and compared with
what was meant; a file that is written too unusually for that is refused, with the
text for the person to add.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml

from jobu_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEP: Final = "  "


def with_entry(text: str, section: str, name: str, entry: str) -> str:
    """Return ``text`` with ``entry`` (``name: …`` as YAML) in the mapping ``section``.

    An entry of that name is replaced. Raises ConfigError when it cannot be added
    without rewriting the file.
    """
    wanted = _parsed(text)
    meant = yaml.safe_load(entry)
    wanted[section] = {**(wanted.get(section) or {}), **meant}
    edited = _entry_added(text, section, name, entry)
    return _confirmed(edited, wanted, f"{section}:\n{_indented(entry, _STEP)}")


def with_item(text: str, section: str, key: str, item: str) -> str:
    """Return ``text`` with ``item`` in the list ``key`` of ``section``; once is enough.

    Raises ConfigError when it cannot be added without rewriting the file.
    """
    wanted = _parsed(text)
    inside = dict(wanted.get(section) or {})
    items = list(inside.get(key) or [])
    if item in items:
        return text
    wanted[section] = {**inside, key: [*items, item]}
    edited = _item_added(text, section, key, item)
    return _confirmed(edited, wanted, f"{section}:\n{_STEP}{key}: [{', '.join([*items, item])}]")


def _parsed(text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError("is not valid YAML") from None
    return dict(found) if isinstance(found, dict) else {}


def _confirmed(edited: str, wanted: dict[str, Any], by_hand: str) -> str:
    try:
        found = yaml.safe_load(edited)
    except yaml.YAMLError:
        found = None
    if found != wanted:
        raise ConfigError(f"cannot be edited without rewriting it; add by hand:\n{by_hand}")
    return edited


def _entry_added(text: str, section: str, name: str, entry: str) -> str:
    lines = _lines(text)
    under = _value(_root(text), section)
    if under is None:
        return "".join([*lines, f"{section}:\n", _indented(entry, _STEP)])
    value = under[1]
    if not isinstance(value, yaml.MappingNode) or not value.value:
        return _replaced(text, under, f"\n{_indented(entry, _STEP).rstrip()}")
    margin = " " * value.value[0][0].start_mark.column
    there = _value(value, name)
    if there is None:
        at = _end_of(lines, value)
        return "".join([*lines[:at], _indented(entry, margin), *lines[at:]])
    first, last = there[0].start_mark.line, _end_of(lines, there[1])
    return "".join([*lines[:first], _indented(entry, margin), *lines[last:]])


def _item_added(text: str, section: str, key: str, item: str) -> str:
    lines = _lines(text)
    under = _value(_root(text), section)
    if under is None:
        return "".join([*lines, f"{section}:\n{_STEP}{key}: [{item}]\n"])
    value = under[1]
    if not isinstance(value, yaml.MappingNode) or not value.value:
        return _replaced(text, under, f"\n{_STEP}{key}: [{item}]")
    there = _value(value, key)
    if there is None:
        first = value.value[0][0].start_mark
        return "".join(
            [*lines[: first.line], f"{' ' * first.column}{key}: [{item}]\n", *lines[first.line :]]
        )
    found = there[1]
    if not isinstance(found, yaml.SequenceNode) or not found.value:
        return _replaced(text, there, f" [{item}]")
    if found.flow_style:
        at = found.end_mark.index - 1
        return f"{text[:at].rstrip()}, {item}{text[at:]}"
    margin = " " * found.start_mark.column
    at = _end_of(lines, found)
    return "".join([*lines[:at], f"{margin}- {item}\n", *lines[at:]])


def _replaced(text: str, pair: Sequence[yaml.Node], value: str) -> str:
    """Put ``value`` after the key, in place of a value that holds nothing."""
    key, old = pair
    colon = text.index(":", key.end_mark.index) + 1
    end = max(colon, old.end_mark.index) if text[colon:].strip() else colon
    if old.start_mark.index == old.end_mark.index:
        end = colon
    return text[:colon] + value + text[end:]


def _end_of(lines: list[str], node: yaml.Node) -> int:
    """Return the line after a node, comments and empty lines behind it left out."""
    last = node
    while isinstance(last, yaml.CollectionNode) and not last.flow_style and last.value:
        last = last.value[-1] if isinstance(last, yaml.SequenceNode) else last.value[-1][1]
    return min(last.end_mark.line + (1 if last.end_mark.column else 0), len(lines))


def _lines(text: str) -> list[str]:
    """Return the lines with their ends; the last one has one, too."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return lines


def _root(text: str) -> yaml.Node | None:
    return yaml.compose(text, Loader=yaml.SafeLoader)


def _value(node: yaml.Node | None, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the key and the value of that name, or None."""
    if not isinstance(node, yaml.MappingNode):
        return None
    return next(((key, value) for key, value in node.value if key.value == name), None)


def _indented(text: str, margin: str) -> str:
    return "".join(f"{margin}{line}" for line in _lines(text))
