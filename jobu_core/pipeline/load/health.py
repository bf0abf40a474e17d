"""What ``jobu doctor`` looks at in a target database: values, and what both engines share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.load.request import Mode


@dataclass(frozen=True, slots=True)
class Wanted:
    """A table that some dataset loads, and how."""

    table: TableName
    mode: Mode


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that will stop or slow loads, and what to do about it."""

    found: str
    advice: str


@dataclass(frozen=True, slots=True)
class Health:
    """What was found in a target that could be reached."""

    facts: str
    problems: tuple[Problem, ...]
