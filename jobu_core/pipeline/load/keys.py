"""The keys of an upsert, as far as every engine asks the same of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobu_core.config.sources import suggest
from jobu_core.errors import DataError, LoadRefused, SchemaMismatch

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from jobu_core.pipeline.load.identifiers import TableName


def insist_on_keys(keys: Sequence[str], target: TableName) -> None:
    """Raise LoadRefused when an upsert was asked for without keys."""
    if not keys:
        raise LoadRefused(f"{target}: mode upsert needs keys")


def refuse_unknown_keys(
    keys: Sequence[str],
    target: TableName,
    *,
    file: Collection[str],
    table: Collection[str] | None,
) -> None:
    """Raise SchemaMismatch that names every key which file or table has not.

    ``table``: None when it is being made from the file.
    """
    problems = [f"key {key!r} is not in the file{suggest(key, file)}" for key in _not(keys, file)]
    if table is not None:
        problems += [
            f"key {key!r} is not in the table{suggest(key, table)}" for key in _not(keys, table)
        ]
    if problems:
        raise SchemaMismatch(f"{target}: " + "; ".join(problems))


def refuse_null_keys(keys: Sequence[str], nulls: Mapping[str, int], target: TableName) -> None:
    """Raise DataError that says how many nulls each key has, as far as ``nulls`` tells."""
    found = [f"key {key!r} is null in {nulls[key]} rows" for key in keys if nulls.get(key)]
    if found:
        raise DataError(f"{target}: " + "; ".join(found) + "; an upsert cannot tell those apart")


def _not(keys: Sequence[str], there: Collection[str]) -> list[str]:
    return [key for key in keys if key not in there]
