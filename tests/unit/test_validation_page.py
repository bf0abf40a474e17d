"""docs/validation.md: its example does what the page says of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa

from jobu_core.pipeline.validate.plan import Mode, plan_model
from jobu_core.pipeline.validate.report import ValidationOptions

PAGE = Path(__file__).parents[2] / "docs" / "validation.md"


def test_a_pure_validator_is_called_for_distinct_values() -> None:
    """The marked validator of the page is not called for every row."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    found: dict[str, Any] = {"__name__": "page"}
    exec(compile(code, PAGE.name, "exec"), found)  # noqa: S102 - our own page
    types = {"code": pa.string()}
    plan = plan_model(found["Order"], ValidationOptions(), strings=True, types=types)
    assert [field.mode for field in plan.fields] == [Mode.DISTINCT]
    unmarked = code.replace("    @pure\n", "")
    exec(compile(unmarked, PAGE.name, "exec"), found)  # noqa: S102 - idem
    plan = plan_model(found["Order"], ValidationOptions(), strings=True, types=types)
    assert [field.mode for field in plan.fields] == [Mode.ROWS]
