"""The schema contract: what becomes of columns that only the file or only the table has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

import pyarrow as pa

from jobu_core.config.sources import suggest
from jobu_core.errors import InvalidParams, SchemaMismatch, TargetBusy
from jobu_core.pipeline.load.identifiers import checked
from jobu_core.pipeline.load.request import SchemaChanges
from jobu_core.pipeline.types import columns_of_schema

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from jobu_core.pipeline.load.request import SchemaPolicy
    from jobu_core.pipeline.types import Column

Plan = TypeVar("Plan")
"""A column that will be sent, as an engine plans it."""

_HINT: Final = "on_new_column and on_missing_column may allow it"


class TableColumn(Protocol):
    """A column of a table, as far as the contract asks."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def required(self) -> bool:
        """Whether it is NOT NULL."""

    @property
    def has_default(self) -> bool:
        """Whether the server has a value for it when none is given."""

    @property
    def generated(self) -> bool:
        """Whether the server computes it."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What file and table have in common, and what the policy makes of the rest."""

    common: pa.Schema
    """Columns of the file that the table has."""
    new: tuple[Column, ...]
    """Columns that the table shall get."""
    ignored: tuple[str, ...]
    left_out: tuple[str, ...]
    problems: tuple[str, ...]
    """Every difference that the policy does not allow."""

    @property
    def changes(self) -> SchemaChanges:
        """The names, for the result."""
        return SchemaChanges(tuple(each.name for each in self.new), self.ignored, self.left_out)


@dataclass(frozen=True, slots=True)
class Comparison(Generic[Plan]):
    """A file's columns against a table's."""

    plans: tuple[Plan, ...]
    """What can be sent; columns that the table is yet to get are not among them."""
    agreement: Agreement
    differences: tuple[str, ...]
    """All that forbids the load."""

    def insist(self, table: str) -> None:
        """Raise one SchemaMismatch that lists every difference."""
        if self.differences:
            hint = f" ({_HINT})" if self.agreement.problems else ""
            raise SchemaMismatch(f"{table}: " + "; ".join(self.differences) + hint)

    def sendable(self, table: str) -> tuple[Plan, ...]:
        """Return the plans once every column has its place; raises as ``insist``.

        Raises TargetBusy when the table lost a column since it was looked at, or did
        not keep one that was added.
        """
        self.insist(table)
        if self.agreement.new:
            raise TargetBusy(f"{table} was altered while it was loaded")
        return self.plans


def agree(schema: pa.Schema, target: Sequence[TableColumn], policy: SchemaPolicy) -> Agreement:
    """Hold the columns of a file against those of a table, by name.

    A column that the file lacks is never a difference when the server has a default for
    it or computes it. With ``null`` it may be lacking also when it takes null.
    """
    known = {column.name for column in target}
    common = [field for field in schema if field.name in known]
    extra = [field for field in schema if field.name not in known]
    added, problems = _added(extra, known, policy)
    left_out, lacking = _lacking(schema.names, target, policy)
    ignored = tuple(each.name for each in extra) if policy.on_new == "ignore" else ()
    if not common and not added:
        problems.append("the file has no columns" if not schema.names else "no column is in both")
    return Agreement(pa.schema(common), added, ignored, left_out, (*problems, *lacking))


def _added(
    extra: Sequence[pa.Field[pa.DataType]], known: Collection[str], policy: SchemaPolicy
) -> tuple[tuple[Column, ...], list[str]]:
    """Return the columns to add and what speaks against those that cannot be."""
    found: list[Column] = []
    problems: list[str] = []
    for field in extra if policy.on_new != "ignore" else ():
        try:
            checked(field.name)
        except InvalidParams as error:
            problems.append(f"{field.name!r} cannot be a column: {error}")
            continue
        if policy.on_new == "fail":
            like = suggest(field.name, known)
            problems.append(f"{field.name!r} of the file is not in the table{like}")
            continue
        try:
            found += columns_of_schema(pa.schema([field]))
        except SchemaMismatch as error:
            problems.append(f"{field.name!r} cannot be added: {error}")
    return tuple(found), problems


def _lacking(
    given: Sequence[str], target: Sequence[TableColumn], policy: SchemaPolicy
) -> tuple[tuple[str, ...], list[str]]:
    """Return the columns to leave out and those that the file must have."""
    lacking = [
        column
        for column in target
        if column.name not in given and not column.has_default and not column.generated
    ]
    may_lack = [each.name for each in lacking if policy.on_missing == "null" and not each.required]
    problems = [
        f"{column.name!r} of the table is not in the file"
        + (", and is NOT NULL" if policy.on_missing == "null" else "")
        for column in lacking
        if column.name not in may_lack
    ]
    return tuple(may_lack), problems
