"""Handlers: what they are, how they are found, and the built-in ones."""

from __future__ import annotations

from jobu_core.handlers.base import (
    BaseHandler,
    Cancel,
    CheckResult,
    HandlerContext,
    Materialization,
    Retry,
    StagedHandler,
    handler,
    model,
    transform,
)
from jobu_core.pipeline.validate.pure import pure

__all__ = [
    "BaseHandler",
    "Cancel",
    "CheckResult",
    "HandlerContext",
    "Materialization",
    "Retry",
    "StagedHandler",
    "handler",
    "model",
    "pure",
    "transform",
]
