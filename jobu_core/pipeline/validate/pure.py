"""Functions of a model that may be called once for all equal cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

_MARK: Final = "__jobu_pure__"

_Function = TypeVar("_Function", bound=Callable[..., Any])

_BUILT_IN: Final = (list, dict, set, frozenset, tuple, str, bytes, int, float, bool)
"""Factories of defaults that always make the same."""


def pure(function: _Function) -> _Function:
    """Mark a validator whose result depends on the value it is given, and on nothing else.

    It is then called once for each distinct value of a column, in no promised
    order. Goes below ``@classmethod``::

        @field_validator("code")
        @classmethod
        @pure
        def _known(cls, code: str) -> str: ...
    """
    setattr(function, _MARK, True)
    return function


def is_pure(function: object) -> bool:
    """Whether ``function`` was marked, or is a built-in factory of empty values."""
    return getattr(function, _MARK, False) is True or any(
        function is factory for factory in _BUILT_IN
    )
