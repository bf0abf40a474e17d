"""pydantic's errors as problems of a row, in pydantic's words but without values.

A message is kept when everything in it comes from the model; what may quote the
cell (a validator's own text, a union's tag) is replaced unless values may show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast, get_args

from pydantic_core import PydanticKnownError
from pydantic_core.core_schema import ErrorType

from jobu_core.pipeline.rejects import Problem

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

HIDDEN: Final = "…"

_OF_THE_MODEL: Final = frozenset(
    {
        *("gt", "ge", "lt", "le", "multiple_of", "pattern", "expected", "expected_tags"),
        *("min_length", "max_length", "actual_length", "field_type", "discriminator"),
        *("max_digits", "decimal_places", "whole_digits", "expected_schemes"),
        *("expected_version", "expected_plural", "class", "class_name", "method_name"),
        *("tz_expected", "encoding", "attribute"),
    }
)
"""Keys of an error's context that never hold what the user wrote."""

_PARSING: Final = frozenset(
    {
        *("date_parsing", "date_from_datetime_parsing", "datetime_parsing"),
        *("datetime_from_date_parsing", "time_parsing", "time_delta_parsing", "json_invalid"),
    }
)
"""Rules whose ``error`` is the parser's fixed text."""

_RULES: Final = frozenset(get_args(ErrorType))
"""pydantic's own rules; any other is a validator's."""


def problems_of(error: ValidationError, *, show_values: bool) -> list[Problem]:
    """Return one problem per error, in pydantic's order."""
    details = error.errors(include_url=False)
    return [_problem(each, show_values=show_values) for each in details]


def _problem(found: ErrorDetails, *, show_values: bool) -> Problem:
    field, inner = (str(found["loc"][0]), found["loc"][1:]) if found["loc"] else ("", ())
    message = found["msg"] if show_values else _without_values(found)
    if inner:
        path = ".".join(
            str(part) if show_values or isinstance(part, int) else HIDDEN for part in inner
        )
        message = f"at {path}: {message}"
    return Problem(field=field, rule=found["type"], message=message, value=found["input"])


def _without_values(found: ErrorDetails) -> str:
    """Return pydantic's message with what may hold the cell left out."""
    rule, context = found["type"], found.get("ctx", {})
    if rule not in _RULES:
        return f"{rule}: a rule of the model's own (its text may quote the value)"
    allowed = _OF_THE_MODEL | ({"error"} if rule in _PARSING else frozenset())
    if allowed.issuperset(context):
        return found["msg"]
    safe = {key: value if key in allowed else HIDDEN for key, value in context.items()}
    try:
        return PydanticKnownError(cast("ErrorType", rule), safe).message()
    except TypeError:  # a number was expected where the value is hidden
        return f"the rule {rule} is broken"
