"""The suites by name, and how they are run: ``run`` is what ``jobu bench`` calls."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import load, memory, pipeline, preprocess, validate
from bench.options import Options, size_in_bytes
from bench.results import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

SUITES: Final[Mapping[str, Callable[[Options], Outcome]]] = {
    "preprocess": preprocess.measure,
    "validate": validate.measure,
    "load": load.measure,
    "pipeline": pipeline.measure,
    "memory": memory.measure,
}


def run(names: Sequence[str], *, rows: int, size: str, runs: int) -> Outcome:
    """Run suites one after another in a scratch folder that goes at the end.

    Raises InvalidParams for a size without a unit. A SIGTERM ends it like Ctrl-C:
    the server of the bench is stopped and its files are removed.
    """
    outcome = Outcome()
    size_bytes = size_in_bytes(size)
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        for name in names:
            with tempfile.TemporaryDirectory(prefix="jobu-bench-") as folder:
                options = Options(Path(folder), rows=rows, size_bytes=size_bytes, runs=runs)
                outcome.add(SUITES[name](options))
    finally:
        signal.signal(signal.SIGTERM, before)
    return outcome


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
