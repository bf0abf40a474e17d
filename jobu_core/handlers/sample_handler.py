"""The smallest handler: returns what it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobu_core.handlers.base import AnyParams, BaseHandler, handler

if TYPE_CHECKING:
    from jobu_core.handlers.base import HandlerContext


@handler("sample_handler")
class SampleHandler(BaseHandler):
    """Echo the params as the result; for first steps and smoke tests."""

    Params = AnyParams

    def run(self, context: HandlerContext, params: AnyParams) -> dict[str, Any]:
        """Return the params."""
        echoed = params.model_dump(mode="json")
        context.logger.info("echo", keys=sorted(echoed))
        return {"echo": echoed}
