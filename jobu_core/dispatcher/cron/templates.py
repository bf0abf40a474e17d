"""Placeholders in a cron job's params, filled in when an occurrence is dispatched.

Only four names and strftime directives that mean the same on every machine: there
is no way from a placeholder to an attribute, an index or a function.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jobu_core.config.sources import suggest
from jobu_core.errors import InvalidParams

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from zoneinfo import ZoneInfo

_TIMES: Final = ("scheduled_time", "interval_start", "interval_end")
NAMES: Final = (*_TIMES, "cron_name")
_TOKEN: Final = re.compile(r"\{\{|\}\}|\{(?P<name>[^{}:]*)(?::(?P<format>[^{}]*))?\}|[{}]")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
_DIRECTIVE: Final = re.compile(r"%(.?)", re.DOTALL)
_DIRECTIVES: Final = frozenset("YmdHMSfjyGVupIaAbBzZ%")


@dataclass(frozen=True, slots=True)
class Moment:
    """What the placeholders of one occurrence stand for."""

    cron_name: str
    zone: ZoneInfo
    scheduled_time: datetime
    interval_start: datetime | None
    interval_end: datetime | None


def render(params: Mapping[str, Any], moment: Moment) -> dict[str, Any]:
    """Return a copy of ``params`` with every string value rendered, at any depth.

    Keys stay as they are. Raises InvalidParams that names the place, not the text.
    """
    return {key: _walk(value, key, moment) for key, value in params.items()}


def check(params: Mapping[str, Any]) -> None:
    """Raise InvalidParams for the first placeholder that could never be filled."""
    for key, value in params.items():
        _walk(value, key, None)


def _walk(value: Any, where: str, moment: Moment | None) -> Any:  # noqa: ANN401 - JSON's own shapes
    if isinstance(value, dict):
        return {key: _walk(item, f"{where}.{key}", moment) for key, item in value.items()}
    if isinstance(value, list):
        return [_walk(item, f"{where}[{at}]", moment) for at, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    return _TOKEN.sub(_substitution(where, moment), value)


def _substitution(where: str, moment: Moment | None) -> Callable[[re.Match[str]], str]:
    def replace(match: re.Match[str]) -> str:
        token = match[0]
        if token in {"{{", "}}"}:
            return token[0]
        if match["name"] is None:
            msg = f"params.{where}: a single {token!r}; write {token * 2!r} for the character"
            raise InvalidParams(msg)
        _check_placeholder(where, match["name"], match["format"])
        return "" if moment is None else _fill(where, match["name"], match["format"], moment)

    return replace


def _check_placeholder(where: str, name: str, form: str | None) -> None:
    if name not in NAMES:
        shown = repr(name) if _WORD.fullmatch(name) else "what stands in braces"
        msg = (
            f"params.{where}: {shown} is no placeholder{suggest(name, NAMES)};"
            f" known are {', '.join(NAMES)}; write {{{{ and }}}} for braces"
        )
        raise InvalidParams(msg)
    if form is None:
        return
    if name not in _TIMES:
        msg = f"params.{where}: {name} takes no format"
        raise InvalidParams(msg)
    directives = _DIRECTIVE.findall(form)
    unknown = [f"%{letter}" for letter in directives if letter not in _DIRECTIVES or not letter]
    if unknown or not directives:
        msg = (
            f"params.{where}: format of {name}:"
            f" {', '.join(unknown) or 'no directive'}; known are"
            f" {' '.join(f'%{letter}' for letter in sorted(_DIRECTIVES))}"
        )
        raise InvalidParams(msg)


def _fill(where: str, name: str, form: str | None, moment: Moment) -> str:
    if name == "cron_name":
        return moment.cron_name
    instant = {
        "scheduled_time": moment.scheduled_time,
        "interval_start": moment.interval_start,
        "interval_end": moment.interval_end,
    }[name]
    if instant is None:
        msg = f"params.{where}: this execution has no {name}"
        raise InvalidParams(msg)
    local = instant.astimezone(moment.zone)
    return local.isoformat() if form is None else local.strftime(form)
