"""The registry collects what modules mark, and refuses what could not run."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from jobu_core.config import DatasetSettings, HandlersSettings
from jobu_core.errors import ConfigError, InvalidParams, PathRefused, UnknownHandler
from jobu_core.handlers import StagedHandler
from jobu_core.handlers.registry import Registry, load_registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

BUILT_INS = (
    "db_loader",
    "pandas_preprocess",
    "pipeline",
    "pydantic_validator",
    "sample_handler",
)

USER_MODULE = '''
"""A user's handlers."""
from typing import Literal
from pydantic import BaseModel, field_validator
from jobu_core.errors import PathRefused
from jobu_core.handlers import BaseHandler, handler, model

@model("Order")
class Order(BaseModel):
    id: int

class Params(BaseModel, extra="forbid"):
    city: str
    units: Literal["metric", "imperial"] = "metric"

    @field_validator("city")
    @classmethod
    def known(cls, value):
        if value == "atlantis":
            raise PathRefused("atlantis is under water")
        return value

@handler("weather")
class Weather(BaseHandler):
    Params = Params

    def run(self, context, params):
        return {"city": params.city}

@handler("greet")
def greet(context, params: Params):
    return f"hello {params.city}"

@handler("anything")
def anything(context, params):
    return params.model_dump()
'''


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """Return an importable folder; what is imported from it is forgotten afterwards."""
    before = set(sys.modules)
    paths = list(sys.path)
    yield tmp_path
    sys.path[:] = paths
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def load(project: Path, **modules: str) -> Registry:
    """Write the modules and load a registry that names them all."""
    for name, source in modules.items():
        (project / f"{name}.py").write_text(textwrap.dedent(source))
    return load_registry(HandlersSettings(modules=tuple(modules)), {}, root=project)


def test_built_ins_are_always_there() -> None:
    """A registry without any configuration has the documented handlers, sorted."""
    registry = load_registry(HandlersSettings(), {})
    assert registry.names == BUILT_INS


def test_marked_classes_functions_and_models_are_found(project: Path) -> None:
    """Handlers of both kinds and models come from the modules of handlers.yaml."""
    registry = load(project, shop_handlers=USER_MODULE)
    assert {"weather", "greet", "anything"} <= set(registry.names)
    assert set(registry.get("greet").Params.model_fields) == {"city", "units"}
    assert registry.get("weather").name == "weather"
    assert issubclass(registry.models["Order"], BaseModel)


def test_nothing_is_remembered_between_registries(project: Path) -> None:
    """A module that is no longer named is gone: there is no global registry."""
    load(project, forgotten_handlers=USER_MODULE)
    assert "weather" not in load_registry(HandlersSettings(), {}).names


def test_an_unknown_name_suggests_the_nearest() -> None:
    """A typo is answered with the name that was probably meant."""
    registry = load_registry(HandlersSettings(), {})
    with pytest.raises(UnknownHandler, match="did you mean 'sample_handler'"):
        registry.get("sampel_handler")
    with pytest.raises(UnknownHandler):
        registry.validate("nope", {})


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "city: Field required"),
        ({"city": 5}, "city: Input should be a valid string"),
        ({"city": "x", "units": "kelvin-secret"}, "units: Input should be 'metric' or 'imperial'"),
        ({"city": "x", "unit": "metric"}, "unit: unknown param .did you mean 'units'"),
        ({"units": 1, "x": 2}, "city: .*; units: .*; x: unknown param"),
    ],
)
def test_invalid_params_name_each_field_but_no_value(
    project: Path, params: Mapping[str, object], message: str
) -> None:
    """What is wrong is told field by field; what was sent is not repeated."""
    registry = load(project, shop_handlers=USER_MODULE)
    with pytest.raises(InvalidParams, match=message) as caught:
        registry.validate("weather", params)
    assert "kelvin-secret" not in str(caught.value)


def test_an_error_of_ours_that_params_raise_stays_what_it_is(project: Path) -> None:
    """PathRefused raised by a params model comes through as itself."""
    registry = load(project, shop_handlers=USER_MODULE)
    with pytest.raises(PathRefused, match="atlantis"):
        registry.validate("greet", {"city": "atlantis"})


def test_functions_without_a_model_take_anything(project: Path) -> None:
    """A parameter without annotation accepts every object."""
    registry = load(project, shop_handlers=USER_MODULE)
    registry.validate("anything", {"a": [1, {"b": None}]})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import nonexistent_thing", "broken cannot be imported: ModuleNotFoundError"),
        ("def broken(:", "broken cannot be imported: SyntaxError"),
        (
            "from jobu_core.handlers import handler\n@handler('x')\ndef x(context): ...",
            r"handler 'x': broken\.x must take \(context, params\)",
        ),
        (
            "from jobu_core.handlers import handler\n@handler('x')\ndef x(c, p: dict): ...",
            "must annotate 'p' with a pydantic model",
        ),
        (
            "from jobu_core.handlers import handler\n@handler('x')\nclass X: ...",
            "must subclass BaseHandler and define run",
        ),
        (
            (
                "from jobu_core.handlers import handler, BaseHandler\n"
                "@handler('x')\nclass X(BaseHandler): ..."
            ),
            "must subclass BaseHandler and define run",
        ),
        (
            (
                "from jobu_core.handlers import handler, BaseHandler\n@handler('x')\n"
                "class X(BaseHandler):\n    Params = dict\n    def run(self, context, params): ..."
            ),
            "Params must be a pydantic model",
        ),
        (
            (
                "from jobu_core.handlers import handler\n"
                "@handler('sample_handler')\ndef mine(c, p): ..."
            ),
            "two handlers are named 'sample_handler'",
        ),
        (
            (
                "from jobu_core.handlers import handler\n"
                "@handler('pipeline_fused')\ndef mine(c, p): ..."
            ),
            "handler 'pipeline_fused': that is the job of 'pipeline' with fused: true",
        ),
        *(
            (
                f"from jobu_core.handlers import handler\n@handler({name!r})\ndef x(c, p): ...",
                "ASCII letters",
            )
            for name in ("", "a b", "a/../b", "a\n", "ä", "x" * 201, "a;b", 7)
        ),
        (
            "from jobu_core.handlers import model\n@model('M')\nclass M: ...",
            "must be a pydantic model",
        ),
    ],
)
def test_what_cannot_work_is_a_configuration_error(
    project: Path, source: str, message: str
) -> None:
    """The module or the name at fault is told when the registry is loaded."""
    with pytest.raises(ConfigError, match=message):
        load(project, broken=source)


def test_one_object_seen_in_two_modules_is_one_handler(project: Path) -> None:
    """Importing a handler into another module does not make it a double."""
    again = "from shop_handlers import Weather"
    registry = load(project, shop_handlers=USER_MODULE, more_handlers=again)
    assert "weather" in registry.names


def test_a_subclass_does_not_inherit_the_mark(project: Path) -> None:
    """Only what is marked itself is a handler."""
    more = "from shop_handlers import Weather\nclass Better(Weather): ..."
    registry = load(project, shop_handlers=USER_MODULE, more_handlers=more)
    assert type(registry.get("weather")).__name__ == "Weather"


def test_the_code_version_follows_code_and_datasets(project: Path) -> None:
    """A changed module or dataset changes the version; loading again does not."""
    first = load(project, shop_handlers=USER_MODULE)
    assert load(project, shop_handlers=USER_MODULE).code_version == first.code_version
    assert len(first.code_version) == 16
    changed = load(project, shop_handlers=USER_MODULE + "# changed")
    assert changed.code_version != first.code_version
    (project / "shop").mkdir()
    (project / "shop" / "__init__.py").write_text("")
    (project / "shop" / "deep.py").write_text("x = 1")
    packaged = load_registry(HandlersSettings(modules=("shop",)), {}, root=project)
    (project / "shop" / "deep.py").write_text("x = 2")
    again = load_registry(HandlersSettings(modules=("shop",)), {}, root=project)
    assert packaged.code_version != again.code_version


def test_staged_handlers_run_their_stages_in_order() -> None:
    """run() carries the merged results from stage to stage."""

    class Three(StagedHandler):
        stages = ("a", "b", "c")

        def run_stage(
            self,
            stage: str,
            context: object,  # noqa: ARG002 - the interface's
            params: object,  # noqa: ARG002 - the interface's
            carried: Mapping[str, object],
        ) -> Mapping[str, object]:
            return {stage: sorted(carried)}

    assert Three().run(None, None) == {"a": [], "b": ["a"], "c": ["a", "b"]}  # type: ignore[arg-type]


def test_a_bad_pattern_of_free_tables_is_a_configuration_error() -> None:
    """A pattern without three parts would allow nothing, or too much."""
    with pytest.raises(ConfigError, match="free_tables"):
        load_registry(HandlersSettings(free_tables=("scratch_*",)), {})


def test_a_changed_dataset_changes_the_code_version() -> None:
    """Workers that read other datasets must not take each other's launches."""
    sample = DatasetSettings(input="/data/raw/sample.csv", model="SampleRecord", target="sample")
    versions = {
        load_registry(HandlersSettings(), datasets).code_version
        for datasets in ({}, {"sample": sample}, {"other": sample})
    }
    assert len(versions) == 3
