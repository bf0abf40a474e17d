"""Names for what a file brings: its dataset, its fields, its model.

A field's name is an attribute in Python and a column in the table: small letters,
digits and underscores, Hangul and other letters kept.
"""

from __future__ import annotations

import keyword
import re
import unicodedata
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel

from jobu_core.errors import InvalidParams
from jobu_core.pipeline.load.identifiers import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_WORD: Final = re.compile(r"\W+")
_UNDERSCORES: Final = re.compile(r"_{2,}")
_DATED: Final = re.compile(r"[\W_]*\d[\d\W_]*$")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,59}")
_OWN_PREFIXES: Final = ("jobu_", "model_")
"""jobu's own tables and columns; attributes of pydantic's models."""


def field_names(columns: Sequence[str]) -> dict[str, str]:
    """Return column → field, in order; two columns never share a field."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for at, column in enumerate(columns, start=1):
        name = _free(_field(column) or f"column_{at}", taken)
        taken.add(name)
        found[column] = name
    return found


def dataset_name(stem: str) -> str:
    """Return the name for the dataset of a file called ``stem``, without its date.

    Raises InvalidParams when there is none in small ASCII letters and digits.
    """
    slug = _slug(stem)
    return checked_name(_DATED.sub("", slug) or slug)


def checked_name(name: str) -> str:
    """Return ``name`` if module, table and assets can bear it; raises InvalidParams."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or name.startswith(_OWN_PREFIXES):
        raise InvalidParams(
            f"{name!r} cannot name a dataset: give --name with small ASCII letters, digits and "
            "underscores, a letter first"
        )
    return name


def model_name(dataset: str) -> str:
    """Return ``OrderItems`` for ``order_items``."""
    return "".join(part[:1].upper() + part[1:] for part in dataset.split("_"))


def _field(column: str) -> str:
    name = _slug(column)
    if name[:1].isdigit():
        name = f"column_{name}"
    while name and not _usable(name):
        name = f"{name}_" if name.isidentifier() and len(name) < MAX_BYTES else ""
    return name


def _usable(name: str) -> bool:
    """Whether a model may have a field and a table a column of that name."""
    return (
        name.isidentifier()
        and not keyword.iskeyword(name)
        and not hasattr(BaseModel, name)
        and not name.startswith(_OWN_PREFIXES)
    )


def _slug(text: str) -> str:
    """Return ``order_id`` for ``Order ID`` and ``orderId``; NFKC, as Python reads names."""
    words = _NOT_WORD.sub("_", _CAMEL.sub("_", unicodedata.normalize("NFKC", text)))
    lowered = unicodedata.normalize("NFKC", words.lower())
    return _cut(_UNDERSCORES.sub("_", lowered).strip("_"), MAX_BYTES - 4)


def _free(name: str, taken: set[str]) -> str:
    """Return ``name``, or the first of ``name_2``, ``name_3``, … that is free."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        ending = f"_{number}"
        candidate = _cut(name, MAX_BYTES - len(ending)) + ending
    return candidate


def _cut(name: str, size: int) -> str:
    """Return as much of ``name`` as has at most ``size`` bytes."""
    return name.encode()[:size].decode("utf-8", "ignore")
