"""``jobu datasets init`` as typed; it needs no job store."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner

from jobu_admin.cli import build_app
from jobu_core.dispatcher.queue.event import decode_event
from jobu_core.errors import ConfigError, Conflict, InvalidInput, InvalidParams, PathRefused
from jobu_core.models import JobEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.testing import Result

CONFIG = Path(__file__).resolve().parents[2] / "config"
ORDERS = "Order ID;Kunde;Amount\n1;Ada;12.50\n2;;7.00\n"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Lay out a project whose database nobody can reach; yield its folder."""
    shutil.copytree(CONFIG, tmp_path / "config")
    raw = tmp_path / "data" / "raw"
    raw.mkdir(parents=True)
    (raw / "orders_2026-11.csv").write_text(ORDERS, encoding="utf-8")
    monkeypatch.setenv("JOBU_ROOT", str(tmp_path))
    monkeypatch.setenv("JOBU_STACK", "external")
    monkeypatch.setenv("JOBU_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("JOBU_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.syspath_prepend(str(tmp_path))
    forget_modules()
    yield tmp_path
    forget_modules()


def forget_modules() -> None:
    """Let the next project's modules of the same name be read."""
    for name in [each for each in sys.modules if each.partition(".")[0] == "my_jobs"]:
        del sys.modules[name]


def run(*arguments: str) -> Result:
    """Run ``jobu`` in this process."""
    return CliRunner().invoke(build_app(), list(arguments))


def init(root: Path, *options: str, name: str = "orders_2026-11.csv") -> Result:
    """Run ``jobu datasets init`` on a file below data/raw."""
    return run("datasets", "init", str(root / "data" / "raw" / name), *options)


def entry(root: Path, name: str = "orders") -> Any:  # noqa: ANN401 - YAML's own shapes
    """Return a dataset as ``datasets.yaml`` has it."""
    text = (root / "config" / "datasets.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["datasets"][name]


def test_a_file_becomes_a_dataset_that_the_configuration_knows(root: Path) -> None:
    """Model, DDL, entry and event are written; the dataset is listed and explained."""
    done = init(root)
    assert done.exit_code == 0, done.output
    assert "the model refuses 0 of them" in done.stdout
    assert entry(root)["rename"] == {"Order ID": "order_id", "Kunde": "kunde", "Amount": "amount"}
    assert entry(root)["csv"] == {"delimiter": ";"}
    listed = json.loads(run("datasets", "list", "--json").stdout)
    assert [each["name"] for each in listed] == ["orders", "sample"]
    plan = json.loads(run("models", "explain", "Orders", "--json").stdout)
    assert {each["field"]: each["type"] for each in plan["fields"]} == {
        "order_id": "int",
        "kunde": "str",
        "amount": "decimal(18,2)",
    }
    ddl = (root / "my_jobs" / "orders.sql").read_text(encoding="utf-8")
    assert '"order_id" bigint NOT NULL,\n    "kunde" text,\n' in ddl


def test_the_sample_event_is_a_message_for_this_file(root: Path) -> None:
    """What the queue would decode: the pipeline, the dataset, the file."""
    assert init(root).exit_code == 0
    event = (root / "my_jobs" / "orders.event.json").read_bytes()
    decoded = decode_event(event.strip(), max_bytes=10_000)
    assert isinstance(decoded, JobEvent)
    assert decoded.handler_name == "pipeline"
    assert dict(decoded.params) == {
        "dataset": "orders",
        "input_path": "/data/raw/orders_2026-11.csv",
    }


def test_comments_of_the_configuration_stay(root: Path) -> None:
    """Only the new dataset and the new module differ from what was there."""
    before = {name: (CONFIG / name).read_text() for name in ("datasets.yaml", "handlers.yaml")}
    assert init(root).exit_code == 0
    datasets = (root / "config" / "datasets.yaml").read_text()
    assert datasets.startswith(before["datasets.yaml"])
    handlers = (root / "config" / "handlers.yaml").read_text()
    assert handlers.replace("[my_jobs.orders]", "[]") == before["handlers.yaml"]


def test_nothing_is_written_over_without_force(root: Path) -> None:
    """Everything that is in the way is named at once; a correction survives."""
    assert init(root).exit_code == 0
    model = root / "my_jobs" / "orders.py"
    model.write_text(model.read_text().replace("kunde: str | None", "kunde: str"))
    corrected = model.read_text()
    refused = init(root)
    assert isinstance(refused.exception, Conflict)
    for named in ("my_jobs/orders.py", "my_jobs/orders.sql", "dataset orders", "--force"):
        assert named in str(refused.exception)
    assert model.read_text() == corrected
    forced = init(root, "--force", "--json")
    assert json.loads(forced.stdout)["written"] == ["my_jobs/orders.py"]
    assert model.read_text() != corrected


def test_what_is_known_better_can_be_given(root: Path) -> None:
    """Name, target and package; the DDL is the target database's."""
    with (root / "config" / "database.yaml").open("a") as file:
        file.write("  shop: {url: 'mysql://u:p@127.0.0.1:1/shop'}\n")
    done = init(root, "--name", "sales", "--target", "shop.shop.sales", "--package", "models")
    assert done.exit_code == 0, done.output
    assert entry(root, "sales")["target"] == "shop.shop.sales"
    assert "`order_id` bigint NOT NULL" in (root / "models" / "sales.sql").read_text()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (("--target", "nowhere.public.x"), InvalidParams, "no database 'nowhere'"),
        (("--target", "jobu_loads"), InvalidParams, "can never be a target"),
        (("--name", "Or ders"), InvalidParams, "cannot name a dataset"),
        (("--package", "../out"), InvalidParams, "no name of a Python package"),
        (("--name", "sample_record"), Conflict, "a model SampleRecord exists"),
    ],
)
def test_what_cannot_be_a_dataset_is_refused_before_anything_is_written(
    root: Path, options: tuple[str, ...], error: type[Exception], text: str
) -> None:
    """The configuration stays usable."""
    refused = init(root, *options)
    assert isinstance(refused.exception, error)
    assert text in str(refused.exception)
    assert not (root / "my_jobs").exists()
    assert "orders" not in (root / "config" / "datasets.yaml").read_text()


def test_a_file_outside_of_the_data_roots_is_told_where_to_go(root: Path) -> None:
    """A worker could not read it either."""
    outside = root / "elsewhere.csv"
    outside.write_text("a\n1\n")
    refused = run("datasets", "init", str(outside))
    assert isinstance(refused.exception, PathRefused)
    assert "./data (/data)" in str(refused.exception)


def test_a_file_may_be_named_as_in_a_message(root: Path) -> None:
    """The logical path, whatever lies under that name on this machine."""
    done = run("datasets", "init", "/data/raw/orders_2026-11.csv")
    assert done.exit_code == 0, done.output
    assert entry(root)["input"] == "/data/raw/orders_2026-11.csv"


def test_a_parquet_is_not_inferred(root: Path) -> None:
    """Its types are its own."""
    (root / "data" / "raw" / "x.parquet").write_bytes(b"PAR1")
    refused = init(root, name="x.parquet")
    assert isinstance(refused.exception, InvalidInput)
    assert "is a Parquet" in str(refused.exception)


def test_a_configuration_that_the_environment_hides_is_said(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are right and would have no effect."""
    monkeypatch.setenv("JOBU_HANDLERS__MODULES", "[]")
    refused = init(root)
    assert isinstance(refused.exception, ConfigError)
    assert "no model named 'Orders'" in str(refused.exception)


def test_a_configuration_that_could_not_be_read_is_not_written(root: Path) -> None:
    """A file of very many columns would make datasets.yaml larger than it may be."""
    header = ",".join(f"Column {number:05} {'x' * 300}" for number in range(3_200))
    (root / "data" / "raw" / "wide.csv").write_text(f"{header}\n{'1,' * 3_199}1\n")
    before = (root / "config" / "datasets.yaml").read_text()
    refused = init(root, name="wide.csv")
    assert isinstance(refused.exception, ConfigError)
    assert "datasets.yaml: larger than" in str(refused.exception)
    assert (root / "config" / "datasets.yaml").read_text() == before
    assert not (root / "my_jobs").exists()


def test_an_unusual_configuration_is_left_as_it_is(root: Path) -> None:
    """The text to add is printed, and no file is written."""
    (root / "config" / "datasets.yaml").write_text("datasets: {}\n")
    (root / "config" / "handlers.yaml").write_text("handlers:\n  modules: [\n    json,\n  ]\n")
    refused = init(root)
    assert isinstance(refused.exception, ConfigError)
    assert "handlers.yaml" in str(refused.exception)
    assert "modules: [json, my_jobs.orders]" in str(refused.exception)
    assert not (root / "my_jobs").exists()
