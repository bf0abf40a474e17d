"""``jobu datasets list`` and ``jobu models …`` as typed; they need no job store."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from jobu_admin.cli import build_app
from jobu_core.errors import NotFound

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

MODELS = """
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, field_validator, model_validator

from jobu_core.handlers.base import model, transform


@model("Mixed")
class Mixed(BaseModel):
    id: int
    code: Annotated[str, Field(alias="Code", pattern="^[^x]+$")]
    name: str
    ref: UUID

    @field_validator("name")
    @classmethod
    def _short(cls, value: str) -> str:
        return value[:3]


@transform("shouted")
def _shouted(frame):
    '''Names in capitals.

    More that nobody needs in a list.
    '''
    return frame


@model("Whole")
class Whole(BaseModel):
    id: int

    @model_validator(mode="after")
    def _look(self) -> "Whole":
        return self
"""


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lay out a project whose database nobody can reach."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "datasets.yaml").write_text(
        "datasets:\n"
        "  mixed: {input: /data/raw/mixed.csv, model: Mixed, target: mixed, mode: replace,\n"
        "          transform: shouted}\n"
    )
    (tmp_path / "explained_models.py").write_text(MODELS)
    sys.modules.pop("explained_models", None)  # an earlier test's, whose file is gone
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("JOBU_HANDLERS__MODULES", '["explained_models"]')
    monkeypatch.setenv("JOBU_ROOT", str(tmp_path))
    monkeypatch.setenv("JOBU_STACK", "external")
    monkeypatch.setenv("JOBU_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")


def run(*arguments: str) -> Result:
    """Run ``jobu`` in this process."""
    return CliRunner().invoke(build_app(), list(arguments))


def answer(*arguments: str) -> Any:  # noqa: ANN401 - JSON's own shapes
    """Return what ``jobu … --json`` printed."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_datasets_are_listed_with_their_names_resolved() -> None:
    """A person sees input, model, table and mode; a program sees every setting."""
    (found,) = answer("datasets", "list")
    assert (found["name"], found["target"]) == ("mixed", "default.public.mixed")
    assert found["csv"]["delimiter"] == ","
    shown = run("datasets", "list").stdout
    assert "/data/raw/mixed.csv" in shown
    assert "replace" in shown


def test_models_are_listed_with_the_datasets_that_use_them() -> None:
    """The built-in model is one of them."""
    found = {each["name"]: each for each in answer("models", "list")}
    assert set(found) == {"Mixed", "Whole", "SampleRecord"}
    assert (found["Mixed"]["datasets"], found["Mixed"]["fields"]) == ("mixed", 4)
    assert found["Whole"]["datasets"] is None


def test_transforms_are_listed_with_the_datasets_that_use_them() -> None:
    """The first line of what they say of themselves, and where they are defined."""
    (found,) = answer("transforms", "list")
    assert found == {
        "name": "shouted",
        "datasets": "mixed (chunk)",
        "what": "Names in capitals.",
        "defined_in": "explained_models._shouted",
    }


def test_explain_tells_each_field_and_why() -> None:
    """Compiled has no reason; the slower ways name what made them so."""
    plan = answer("models", "explain", "Mixed")
    assert (plan["whole"], plan["from"]) == (None, "csv")
    told = {each["field"]: (each["type"], each["how"], each["why"]) for each in plan["fields"]}
    assert told["id"] == ("int", "compiled", None)
    assert told["code"][:2] == ("str", "distinct values")
    assert "pattern" in told["code"][2]
    assert told["name"][:2] == ("str", "rows")
    assert "_short" in told["name"][2]
    assert "distinct values" in run("models", "explain", "Mixed").stdout


def test_explain_asks_for_the_source_and_strictness_that_is_meant() -> None:
    """A UUID is text in a Parquet, which strict mode does not take."""
    lax = answer("models", "explain", "Mixed", "--from", "parquet")
    assert lax["from"] == "parquet"
    assert [each["how"] for each in lax["fields"]][::3] == ["compiled", "compiled"]
    strict = answer("models", "explain", "Mixed", "--from", "parquet", "--strict")
    assert strict["fields"][0]["how"] == "compiled"
    assert strict["fields"][3]["why"] == "strict mode takes no text"


def test_explain_says_why_rows_go_as_a_whole() -> None:
    """One validator of the whole model decides for all fields."""
    plan = answer("models", "explain", "Whole")
    assert plan["fields"] == []
    assert "_look" in plan["whole"]
    assert "_look" in run("models", "explain", "Whole").stdout


def test_an_unknown_model_is_named_with_the_nearest() -> None:
    """A typo is answered with what was meant."""
    refused = run("models", "explain", "Mixd")
    assert isinstance(refused.exception, NotFound)
    assert "did you mean 'Mixed'" in str(refused.exception)
