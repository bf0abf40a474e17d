"""What a person starts from: the model's source, the dataset's entry, an event, as text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import yaml

from jobu_core.pipeline.infer.names import model_name

if TYPE_CHECKING:
    from jobu_core.pipeline.infer.inference import Inference, InferredField
    from jobu_core.pipeline.load.identifiers import TableName

_ALWAYS: Final = (("pydantic", "BaseModel"),)


def model_source(dataset: str, found: Inference) -> str:
    """Return the module that defines and marks the dataset's model."""
    name = model_name(dataset)
    fields = "\n".join(_field(each, found.rows) for each in found.fields)
    return f'''"""A row of the dataset {dataset}; written by `jobu datasets init`, yours to correct.

{_seen(found)}
"""

{_imports(found)}

@model("{name}")
class {name}(BaseModel):
    """One row; a field that is not Optional refuses an empty cell."""

{fields}
'''


def dataset_entry(dataset: str, found: Inference, target: TableName) -> dict[str, Any]:
    """Return the dataset as ``datasets.yaml`` has it, without what is a default."""
    csv = found.csv.model_dump(mode="json", exclude_defaults=True)
    entry: dict[str, Any] = {"input": found.source_name}
    if csv:
        entry["csv"] = csv
    if found.rename:
        entry["rename"] = found.rename
    return entry | {"model": model_name(dataset), "target": str(target), "mode": "append"}


def entry_text(name: str, entry: dict[str, Any]) -> str:
    """Return an entry as YAML that keeps the order of its keys."""
    return yaml.safe_dump(
        {name: entry}, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=False
    )


def sample_event(dataset: str, found: Inference) -> str:
    """Return the message that loads the file, on one line."""
    params = {"dataset": dataset, "input_path": found.source_name}
    return json.dumps({"handler_name": "pipeline", "params": params}, ensure_ascii=False) + "\n"


def _imports(found: Inference) -> str:
    """Return the import statements, sorted as a formatter would."""
    wanted = {each for field in found.fields for each in field.kind.imports} | set(_ALWAYS)
    plain = ["import datetime as dt"] if ("datetime", "") in wanted else []
    modules = sorted({module for module, name in wanted if name})
    named = [
        f"from {module} import {', '.join(sorted(n for m, n in wanted if m == module))}"
        for module in modules
    ]
    standard = plain + [line for line in named if " pydantic " not in line]
    blocks = [standard, [line for line in named if " pydantic " in line]]
    blocks.append(["from jobu_core.handlers.base import model"])
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _field(field: InferredField, rows: int) -> str:
    optional = " | None" if field.nullable else ""
    notes = []
    if field.nulls:
        notes.append("always empty" if field.nulls == rows else f"{field.nulls} empty")
    if field.misfits:
        notes.append(f"{field.misfits} cells are not {field.kind.what}: rejects")
    comment = f"  # {', '.join(notes)}" if notes else ""
    return f"    {field.name}: {field.kind.source}{optional}{comment}"


def _seen(found: Inference) -> str:
    rows = f"all {found.rows} rows" if found.complete else f"the first {found.rows} rows"
    return (
        f"Inferred from {rows} of one file. Types are as narrow as those cells were:\n"
        "widen what may hold more, narrow what must not."
    )
