"""What a crash case is: a place to die, and the rules of the engine that it proves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """Die at ``point`` when it is reached the ``visit``-th time.

    The gate reads ``point`` and ``rules`` from the source: write them as literals.
    """

    point: str
    rules: tuple[int, ...]
    visit: int = 1
