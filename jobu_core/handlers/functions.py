"""Plain functions as handlers: the second parameter's annotation is the model."""

from __future__ import annotations

import inspect
import typing
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from jobu_core.errors import ConfigError
from jobu_core.handlers.base import AnyParams, BaseHandler

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobu_core.handlers.base import HandlerContext

_ARITY = 2


class FunctionHandler(BaseHandler):
    """A function ``(context, params: Model) -> result`` behind the handler interface."""

    function: ClassVar[Callable[[HandlerContext, Any], Any]]

    def run(self, context: HandlerContext, params: Any) -> Any:  # noqa: ANN401 - the function's own types
        """Call the function."""
        return type(self).function(context, params)

    @staticmethod
    def wrap(name: str, function: Callable[[HandlerContext, Any], Any]) -> BaseHandler:
        """Return a handler that calls ``function``.

        Raises ConfigError when it does not take ``(context, params)`` with a
        pydantic model (or no annotation: any params) as its second parameter.
        """
        place = f"{function.__module__}.{function.__qualname__}"
        parameters = list(inspect.signature(function).parameters.values())
        if len(parameters) != _ARITY:
            raise ConfigError(f"handler {name!r}: {place} must take (context, params)")
        model = _annotation(name, place, function, parameters[1])
        members = {"name": name, "Params": model, "function": staticmethod(function)}
        return typing.cast("BaseHandler", type(function.__name__, (FunctionHandler,), members)())


def _annotation(
    name: str,
    place: str,
    function: Callable[..., Any],
    parameter: inspect.Parameter,
) -> type[BaseModel]:
    if parameter.annotation is inspect.Parameter.empty:
        return AnyParams
    annotation = parameter.annotation
    if isinstance(annotation, str):
        annotation = getattr(function, "__globals__", {}).get(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    msg = (
        f"handler {name!r}: {place} must annotate {parameter.name!r} with a pydantic model "
        "that its module imports at run time"
    )
    raise ConfigError(msg)
