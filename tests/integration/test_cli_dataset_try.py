"""``jobu datasets try`` as typed: what it says is what a run then does."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from jobu_admin.cli import build_app
from jobu_core.config import load_settings
from jobu_core.errors import FileError, InvalidParams, NotFound, RowsRejected, SchemaMismatch
from jobu_core.handlers.registry import load_registry
from tests.handler_bench import Project
from tests.load_bench import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typer.testing import Result

MODEL = """
from typing import Annotated

from pydantic import BaseModel, Field, field_validator

from jobu_core.handlers.base import model


@model("Order")
class Order(BaseModel):
    id: int
    name: str
    amount: Annotated[float, Field(ge=0)] = 0.0

    @field_validator("name")
    @classmethod
    def _trimmed(cls, value: str) -> str:
        return value.strip()
"""
DATASETS = """
  orders:
    input: /data/raw/orders*.csv
    model: Order
    target: default.public.orders
    rename: {Id: id}
    filters: {amount: {lt: 1000}}
    max_errors: 2
"""
HIDDEN = "hidden-cell"


@pytest.fixture(autouse=True)
def root(project: Path) -> Iterator[Path]:
    """Add a dataset to the project; yield its folder."""
    (project / "tried_models.py").write_text(MODEL, encoding="utf-8")
    (project / "config" / "handlers.yaml").write_text(
        "handlers:\n  modules: [tried_models]\n  data_roots: {/data: ./data}\n"
    )
    with (project / "config" / "datasets.yaml").open("a") as file:
        file.write(DATASETS)
    forget_model()
    yield project
    forget_model()


def forget_model() -> None:
    """Let the next project's module be read."""
    sys.modules.pop("tried_models", None)


def write(root: Path, text: str, name: str = "orders.csv") -> str:
    """Write a file below data/raw and return its path."""
    path = root / "data" / "raw" / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def run(*arguments: str) -> Result:
    """Run ``jobu datasets try`` in this process."""
    return CliRunner().invoke(build_app(), ["datasets", "try", *arguments])


def told(*arguments: str, code: int = 0) -> Any:  # noqa: ANN401 - JSON's own shapes
    """Return what ``--json`` printed."""
    result = run(*arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def pipeline(root: Path, url: str, path: str, **params: Any) -> Any:  # noqa: ANN401 - a result
    """Run the dataset's pipeline as one attempt."""
    settings = load_settings()
    registry = load_registry(settings.handlers, settings.datasets, root=root)
    params = {"dataset": "orders", "input_path": path, **params}
    return Project(Bench(url, root), registry).run("pipeline", params)


def test_a_trial_tells_what_a_run_then_does(root: Path, database_url: str) -> None:
    """Rows wanted, valid and rejected are the run's; the table is made by the run only."""
    path = write(root, f"Id,name,amount\n1,a,5\n{HIDDEN},b,6\n3,c,7\n4,d,2000\n5,e\n")
    trial = told(path)
    assert (trial["dataset"], trial["rows"], trial["wanted"]) == ("orders", 5, 3)
    assert (trial["valid"], trial["rejected"], trial["problems"]) == (2, 2, [])
    assert trial["counts"] == {"": {"ragged_row": 1}, "id": {"int_parsing": 1}}
    assert (trial["load"]["exists"], trial["load"]["how"]) == (False, "create")
    assert Bench(database_url, root).value("SELECT to_regclass('public.orders')") is None
    result = pipeline(root, database_url, path)
    assert result["rows"] == trial["valid"]
    assert result["load"]["strategy"] == trial["load"]["how"]
    assert told(path)["load"]["how"] == "append"
    assert Bench(database_url, root).count("orders") == 2


def test_the_first_rejects_are_told_in_file_order_without_values(root: Path) -> None:
    """Of both stages; values only when they are asked for."""
    path = write(root, f"Id,name,amount\n1,a,1\nx,b\n{HIDDEN},c,-1\n4,d,5\n")
    shown = told(path)["rejects"]
    assert [(each["row_number"], each["field"]) for each in shown] == [
        (2, None),
        (3, "id"),
        (3, "amount"),
    ]
    assert len(told(path, "-n", "1")["rejects"]) == 1
    assert HIDDEN not in run(path).output
    assert HIDDEN in run(path, "--show-values").output


def test_each_field_is_told_with_its_way(root: Path) -> None:
    """How it is validated and why, the type in the table, the wire."""
    trial = told(write(root, "Id,name,amount\n1,a,5\n"))
    fields = {each["field"]: each for each in trial["fields"]}
    assert (fields["id"]["how"], fields["id"]["why"]) == ("compiled", None)
    assert fields["name"]["how"] == "rows"
    assert "_trimmed" in fields["name"]["why"]
    assert fields["amount"]["table"] == "double precision"
    assert fields["amount"]["wire"] is not None


def test_too_many_rejects_are_a_problem_as_for_the_run(root: Path, database_url: str) -> None:
    """The exit code says so, and the columns are still held against the table."""
    path = write(root, "Id,name,amount\n" + "x,a,1\n" * 3 + "1,a,1\n")
    trial = told(path, code=1)
    assert (trial["valid"], trial["rejected"]) == (1, 3)
    assert "max_errors is 2" in trial["problems"][0]
    assert [each["name"] for each in trial["load"]["columns"]] == ["id", "name", "amount"]
    assert "a run would fail" in run(path).stdout
    with pytest.raises(RowsRejected, match="max_errors is 2"):
        pipeline(root, database_url, path)


def test_a_replace_without_valid_rows_fails_for_its_rejects_alone(root: Path) -> None:
    """That it would empty the table as well is no second problem: a run would not come so far."""
    path = write(root, "id,name,value\nx,a,1\n", "all_bad.csv")
    (problem,) = told(path, "--dataset", "sample", code=1)["problems"]
    assert "every row was rejected" in problem


def test_ragged_rows_alone_can_be_too_many(root: Path) -> None:
    """The first stage refuses; the plan is told all the same."""
    trial = told(write(root, "Id,name,amount\n" + "1,a\n" * 3 + "1,a,1\n"), code=1)
    assert (trial["rows"], trial["counts"]) == (4, {"": {"ragged_row": 3}})
    assert [each["how"] for each in trial["fields"]] == ["compiled", "rows", "compiled"]


def test_differences_from_the_table_are_told_as_the_run_would(
    root: Path, database_url: str
) -> None:
    """All of them, and the run fails with the same words."""
    Bench(database_url, root).run("CREATE TABLE orders (id date, name text, since date NOT NULL)")
    path = write(root, "Id,name,amount\n1,a,5\n")
    trial = told(path, code=1)
    assert len(trial["problems"]) == 3
    with pytest.raises(SchemaMismatch) as refused:
        pipeline(root, database_url, path)
    for problem in trial["problems"]:
        assert problem in str(refused.value)


def test_a_decimal_without_digits_takes_those_of_the_table(root: Path, database_url: str) -> None:
    """Excess digits are rejects in trial and run, never rounded; a missing table has none."""
    model = (
        (root / "tried_models.py").read_text().replace("float, Field(ge=0)] = 0.0", "Decimal, ()]")
    )
    (root / "tried_models.py").write_text(f"from decimal import Decimal\n{model}")
    path = write(root, "Id,name,amount\n1,a,1.005\n2,b,1.05\n")
    refused = run(path)
    assert isinstance(refused.exception, SchemaMismatch)
    assert "needs both max_digits and decimal_places" in str(refused.exception)
    bench = Bench(database_url, root)
    bench.run("CREATE TABLE orders (id bigint, name text, amount numeric(10, 2))")
    trial = told(path)
    assert (trial["valid"], trial["fields"][2]["type"]) == (1, "decimal(10,2)")
    assert pipeline(root, database_url, path)["rows"] == 1
    assert bench.rows("SELECT id, amount::text FROM orders") == [(2, "1.05")]


def test_a_database_that_is_away_does_not_hide_the_rest(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rejects and plan are told; that the target could not be asked is a problem."""
    monkeypatch.setenv("JOBU_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    trial = told(write(root, "Id,name,amount\n1,a,5\n"), code=1)
    assert (trial["valid"], trial["load"]) == (1, None)
    assert "not reachable" in trial["problems"][0]


def test_a_file_of_no_dataset_is_tried_with_an_inferred_one(root: Path) -> None:
    """As if init had run, and nothing is written."""
    path = write(root, "Order ID;When\n1;2026-01-31\n", "things.csv")
    trial = told(path)
    assert (trial["dataset"], trial["target"]) == ("things", "default.public.things")
    assert {each["field"]: each["type"] for each in trial["fields"]} == {
        "order_id": "int",
        "when": "date",
    }
    assert not (root / "my_jobs").exists()
    other = told(write(root, "a\n1\n", "주문.csv"))
    assert (other["dataset"], other["valid"]) == ("unnamed", 1)


def test_what_cannot_be_tried_is_one_error(root: Path) -> None:
    """An unknown dataset, several for one file, a file that is not there."""
    path = write(root, "Id,name,amount\n1,a,5\n")
    unknown = run(path, "--dataset", "order")
    assert isinstance(unknown.exception, NotFound)
    assert "did you mean 'orders'" in str(unknown.exception)
    header = run(write(root, "Id,name\n1,a\n", "orders_2.csv"))
    assert isinstance(header.exception, FileError)
    assert "no column 'amount'" in str(header.exception)
    missing = run(str(root / "data" / "raw" / "none.csv"))
    assert isinstance(missing.exception, FileError)
    with (root / "config" / "datasets.yaml").open("a") as file:
        file.write(
            "  same: {input: /data/raw/orders.csv, model: Order, target: same, rename: {Id: id}}\n"
        )
    several = run(path)
    assert isinstance(several.exception, InvalidParams)
    assert "orders, same" in str(several.exception)
    assert told(path, "--dataset", "same")["target"] == "default.public.same"
