"""What dispatch needs to know of the handlers: which exist, and what they accept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class HandlerCatalog(Protocol):
    """The registered handlers, seen from dispatch."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every registered handler's name, sorted."""

    def validate(self, name: str, params: Mapping[str, Any]) -> None:
        """Check ``params`` against the model of handler ``name``.

        Raises UnknownHandler, or InvalidParams naming each field and no value.
        """
