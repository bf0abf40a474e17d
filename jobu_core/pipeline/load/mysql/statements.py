"""Statements put together from constants and quoted names, and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, LiteralString

from jobu_core.pipeline.load.identifiers import checked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobu_core.pipeline.load.identifiers import TableName


@dataclass(frozen=True, slots=True)
class Sql:
    """A piece of a statement that holds no text of anybody's but in quotes."""

    text: str


def constant(text: LiteralString) -> Sql:
    """Return a piece that stands in the source as it is."""
    return Sql(text)


def quoted(name: str) -> Sql:
    """Return a column's or table's name for a statement; raises InvalidParams."""
    escaped = checked(name).replace("`", "``")
    return Sql(f"`{escaped}`")


def table(name: TableName) -> Sql:
    """Return a table with its schema, which MySQL calls its database."""
    return Sql(f"{quoted(name.schema).text}.{quoted(name.table).text}")


def joined(pieces: Iterable[Sql], between: LiteralString = ", ") -> Sql:
    """Return pieces one after the other."""
    return Sql(between.join(piece.text for piece in pieces))


def composed(template: LiteralString, **pieces: Sql) -> Sql:
    """Return ``template`` with its ``{pieces}`` put in."""
    return Sql(template.format(**{name: piece.text for name, piece in pieces.items()}))
