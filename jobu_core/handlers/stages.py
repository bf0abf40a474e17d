"""Outputs between the stages of a pipeline: published whole, reused by fingerprint.

They lie in ``{work}/{root execution}/stages``, so that a later attempt, or an
operator's retry, finds what an earlier one finished. What is not published, by a
rename after its report, is never read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from jobu_core.crash_points import reach
from jobu_core.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import BaseModel

    from jobu_core.handlers.base import HandlerContext

_SUFFIX: Final = ".parquet"
_REFERENCES: Final = frozenset({"ref", "schema_ref"})
"""Keys whose values name a class and say where in memory it lies."""
_ADDRESS: Final = re.compile(r":\d+")


@dataclass(frozen=True, slots=True)
class Shelf:
    """The place of one stage's output, whether it is there yet or not."""

    path: Path
    """The published Parquet."""
    draft: Path
    """Where this attempt writes it first."""

    @property
    def rejects(self) -> Path:
        """Where the stage's rejects are kept."""
        return self.path.with_suffix(".rejects.parquet")

    @property
    def draft_rejects(self) -> Path:
        """Where this attempt writes rejects first."""
        return self.draft.with_suffix(".rejects.parquet")

    @property
    def _report(self) -> Path:
        return self.path.with_suffix(".json")

    def published(self) -> dict[str, Any] | None:
        """Return the stage's report when its output is there, else None."""
        if not self.path.is_file():
            return None
        try:
            found: dict[str, Any] = json.loads(self._report.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FileError(f"{self._report.name}: cannot be read: {error}") from error
        return found

    def publish(self, report: Mapping[str, Any]) -> None:
        """Move the draft to its place: rejects and report first, the Parquet last."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.draft_rejects.is_file():
            self.draft_rejects.replace(self.rejects)
            reach("stage.rejects_published")
        beside = self.draft.with_suffix(".json")
        with beside.open("w", encoding="utf-8") as file:
            json.dump(report, file, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._report)
        reach("stage.report_published")
        self.draft.replace(self.path)
        reach("stage.published")
        _sync_folder(self.path.parent)


def shelf(context: HandlerContext, stage: str, fingerprint: str) -> Shelf:
    """Return the place of a stage's output with that fingerprint."""
    name = f"{stage}-{fingerprint}{_SUFFIX}"
    folder = context.work_dir.parent.parent / str(context.root_execution_id) / "stages"
    context.work_dir.mkdir(parents=True, exist_ok=True)
    return Shelf(folder / name, context.work_dir / name)


def depends_on(context: HandlerContext, params: BaseModel) -> dict[str, Any]:
    """Return what a stage is made with, besides its input: params, datasets, the user's code.

    A retry after a transform, a filter or a spelling was corrected must not find
    what was made before.
    """
    return {**params.model_dump(mode="json"), "code_version": context.code_version}


def fingerprint(input_sha256: str, params: Mapping[str, Any], schema: object = None) -> str:
    """Return what a stage's output depends on, as one hash.

    ``params`` are those of ``depends_on``; ``schema`` is the model's core schema,
    whose functions count by name: what they do is in the code's version.
    """
    written = json.dumps(
        {
            "input": input_sha256,
            "params": dict(params),
            "schema": _described(schema),
            "versions": [version("jobu"), pa.__version__],
        },
        sort_keys=True,
    )
    return hashlib.sha256(written.encode()).hexdigest()


def canonical_sha256(params: Mapping[str, Any]) -> str:
    """Return the hash of params that differ in nothing but the order of keys."""
    return hashlib.sha256(json.dumps(dict(params), sort_keys=True).encode()).hexdigest()


def _described(part: object) -> Any:  # noqa: ANN401 - JSON of any shape
    """Return a core schema as JSON: functions and classes by name, the same in every process."""
    if isinstance(part, dict):
        return {str(key): _described_entry(str(key), part[key]) for key in sorted(part, key=str)}
    if isinstance(part, list | tuple):
        return [_described(item) for item in part]
    if part is None or isinstance(part, str | int | float | bool):
        return part
    name = getattr(part, "__qualname__", None)
    return name if name is not None else type(part).__qualname__


def _described_entry(key: str, value: object) -> Any:  # noqa: ANN401 - JSON of any shape
    if key in _REFERENCES and isinstance(value, str):
        return _ADDRESS.sub("", value)
    return _described(value)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
