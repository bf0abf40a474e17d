"""A fused stream without a handler around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobu_core.pipeline.fused import FusedInput, FusedPlan, Places
from jobu_core.pipeline.processing import Wishes
from jobu_core.pipeline.sources import Input, InputFile
from jobu_core.pipeline.validate.report import ValidationOptions

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel


def stream_of(
    path: Path, model: type[BaseModel], options: ValidationOptions | None = None
) -> FusedInput:
    """Return a stream of a CSV file whose outputs lie beside it."""
    places = Places(*(path.with_name(name) for name in ("valid", "early", "late")))
    return FusedInput(
        FusedPlan(
            source=Input(path.name, (InputFile(path, path.name),)),
            wishes=Wishes(),
            model=model,
            options=options or ValidationOptions(),
            draft=places,
            kept=lambda _sha256: places,
        )
    )
