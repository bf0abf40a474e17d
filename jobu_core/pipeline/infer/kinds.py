"""The types that inference knows: as a model's source has them, and as pydantic takes them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import AwareDatetime, Field, NaiveDatetime


@dataclass(frozen=True, slots=True)
class Kind:
    """One type of fields."""

    source: str
    """The annotation as text."""
    annotation: Any
    imports: tuple[tuple[str, str], ...] = ()
    """(module, name) that the text needs; the module as ``dt`` has no name."""
    what: str = ""
    """What a cell of it is, for people."""


BOOL: Final = Kind("bool", bool, what="true or false")
INT: Final = Kind("int", int, what="a whole number")
FLOAT: Final = Kind("float", float, what="a number")
STR: Final = Kind("str", str, what="text")
DATE: Final = Kind("dt.date", dt.date, (("datetime", ""),), "a date")
TIME: Final = Kind("dt.time", dt.time, (("datetime", ""),), "a time of day")
DATETIME: Final = Kind(
    "NaiveDatetime", NaiveDatetime, (("pydantic", "NaiveDatetime"),), "a time without zone"
)
AWARE: Final = Kind(
    "AwareDatetime", AwareDatetime, (("pydantic", "AwareDatetime"),), "a time with zone"
)
UUID_: Final = Kind("UUID", UUID, (("uuid", "UUID"),), "a UUID")


def decimal_kind(digits: int, places: int) -> Kind:
    """Return the type of exact numbers of ``digits`` in all, ``places`` after the point."""
    limits = Field(max_digits=digits, decimal_places=places)
    return Kind(
        f"Annotated[Decimal, Field(max_digits={digits}, decimal_places={places})]",
        Annotated[Decimal, limits],
        (("decimal", "Decimal"), ("pydantic", "Field"), ("typing", "Annotated")),
        f"a number with at most {places} digits after the point",
    )
