"""Random models, and columns that mostly suit them: for validation against pydantic itself."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from hypothesis import reject
from hypothesis import strategies as st
from pydantic import (
    UUID4,
    AliasChoices,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    Field,
    Json,
    NaiveDatetime,
    StringConstraints,
    create_model,
)
from pydantic_core import SchemaError

from jobu_core.pipeline.validate.pure import pure

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import ConfigDict

    Drawn = st.SearchStrategy[Any]
    Draw = Callable[[Drawn], Any]


class Color(enum.StrEnum):
    """An Enum of texts."""

    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    """An Enum of numbers."""

    LOW = 1
    HIGH = 2


class Point(BaseModel):
    """A nested model."""

    x: int


def _doubled(given: object) -> object:
    return given * 2 if isinstance(given, str) else given


@pure
def _unspaced(given: object) -> object:
    return given.replace(" ", "") if isinstance(given, str) else given


small = st.integers(-50, 50)
decimals = st.decimals(-100, 100, places=2)
days = st.dates(dt.date(1990, 1, 1), dt.date(2030, 1, 1))
moments = st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2030, 1, 1))  # noqa: DTZ001 - zones are added where wanted


@st.composite
def bounds(draw: Draw, values: Drawn) -> dict[str, Any]:
    """Draw none, one or two bounds."""
    keys = draw(st.sets(st.sampled_from(["ge", "gt", "le", "lt"]), max_size=2))
    return {key: draw(values) for key in keys}


def _optional(keys: dict[str, Drawn]) -> Drawn:
    return st.fixed_dictionaries({}, optional=keys)


PATTERNS = (
    r"^[A-Z]{2}\d+$",
    r"\w+",
    r"^(?:ab|c)*$",
    r"[a-c-]",
    r"^[^a]+$",
    r"(?i)^ab$",
    r"^a&&b$",
    r"^[a-z&&[^b]]+$",
    r"\bx",
    r"^.{1,3}$",
    r"^\s*$",
    r"가",
    r"^[ab]?$",
)

strings: Drawn = _optional(
    {
        "min_length": st.integers(0, 3),
        "max_length": st.integers(2, 6),
        "strip_whitespace": st.booleans(),
        "to_lower": st.booleans(),
        "to_upper": st.booleans(),
        "pattern": st.sampled_from(PATTERNS),
        "strict": st.booleans(),
    }
)
digits: Drawn = st.tuples(st.integers(1, 8), st.integers(0, 4)).map(
    lambda pair: {"max_digits": max(pair), "decimal_places": min(pair)}
)


@st.composite
def field_types(draw: Draw) -> Any:  # noqa: ANN401 - an annotation
    """Draw the type of a field, with what may be said of it."""
    kind = draw(st.sampled_from(sorted(_KINDS)))
    found = draw(_KINDS[kind])
    if draw(st.sampled_from([False, False, True])):
        found = found | None
    return found


def _with(base: object, said: Drawn) -> Drawn:
    return said.map(lambda keys: Annotated[base, Field(**keys)])


_KINDS: dict[str, Drawn] = {
    "int": _with(int, bounds(small)),
    "multiple": _with(int, st.integers(1, 7).map(lambda by: {"multiple_of": by})),
    "strict": st.just(Annotated[int, Field(strict=True)]),
    "float": _with(float, bounds(small | st.floats(-9, 9))),
    "finite": _with(float, st.booleans().map(lambda yes: {"allow_inf_nan": yes})),
    "bool": st.just(bool),
    "str": strings.map(lambda keys: Annotated[str, StringConstraints(**keys)]),
    "plain": st.just(str),
    "bytes": _with(bytes, _optional({"min_length": st.integers(0, 3)})),
    "decimal": st.tuples(digits, bounds(small | decimals)).map(
        lambda both: Annotated[Decimal, Field(**both[0], **both[1])]
    ),
    "date": _with(dt.date, bounds(days)),
    "datetime": _with(dt.datetime, bounds(moments)),
    "naive": st.just(NaiveDatetime),
    "aware": _with(AwareDatetime, bounds(moments.map(lambda at: at.replace(tzinfo=dt.UTC)))),
    "time": st.just(dt.time),
    "span": st.just(dt.timedelta),
    "uuid": st.just(uuid.UUID),
    "version": st.just(UUID4),
    "literal": st.just(Literal["red", "b", ""]),
    "color": st.just(Color),
    "level": st.just(Level),
    "json": st.just(Json[dict[str, int]]),
    "point": st.just(Point),
    "list": st.just(list[int]),
    "any": st.just(Any),
    "pure": st.just(Annotated[str, BeforeValidator(_unspaced)]),
    "impure": st.just(Annotated[str, BeforeValidator(_doubled)]),
}


configs: Drawn = _optional(
    {
        "strict": st.booleans(),
        "str_strip_whitespace": st.booleans(),
        "str_to_lower": st.booleans(),
        "str_to_upper": st.booleans(),
        "str_min_length": st.integers(0, 2),
        "str_max_length": st.integers(3, 9),
        "allow_inf_nan": st.booleans(),
        "coerce_numbers_to_str": st.booleans(),
        "use_enum_values": st.booleans(),
        "validate_default": st.booleans(),
        "frozen": st.booleans(),
        "extra": st.sampled_from(["ignore", "forbid"]),
    }
)

defaults: Drawn = st.sampled_from([..., ..., ..., None, 1, "ab", "", [], dt.date(2024, 1, 1)])


@st.composite
def model_fields(draw: Draw, at: int) -> tuple[Any, Any]:
    """Draw one field as ``create_model`` takes it."""
    alias = draw(st.sampled_from([None, None, f"c{at}", AliasChoices(f"a{at}", f"b{at}")]))
    return draw(field_types()), Field(draw(defaults), validation_alias=alias)


@st.composite
def models(draw: Draw) -> type[BaseModel]:
    """Draw a model of one to four fields."""
    config = draw(configs)
    if draw(st.booleans()):
        config = {}
    named = {f"f{at}": draw(model_fields(at)) for at in range(draw(st.integers(1, 4)))}
    try:
        made: type[BaseModel] = create_model(
            "Drawn", __config__=cast("ConfigDict", config), **named
        )
    except SchemaError:  # limits that contradict each other
        reject()
    return made
