"""Name → handler; the only way to a handler, a model or a dataset.

Collected from the built-in modules and those that ``handlers.yaml`` names, each
time from scratch: importing a module registers nothing by itself.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import re
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ValidationError

from jobu_core.config.sources import suggest
from jobu_core.errors import ConfigError, InvalidParams, UnknownHandler
from jobu_core.handlers.base import (
    HANDLER_MARK,
    MODEL_MARK,
    TRANSFORM_MARK,
    BaseHandler,
    Declarations,
    StagedHandler,
)
from jobu_core.handlers.functions import FunctionHandler
from jobu_core.models import fused_job
from jobu_core.pipeline.datasets import build_datasets
from jobu_core.pipeline.load.identifiers import split_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import ModuleType

    import pandas as pd

    from jobu_core.config import DatasetSettings, HandlersSettings
    from jobu_core.pipeline.datasets import Dataset

_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,200}")
_KINDS: Final = {HANDLER_MARK: "handlers", MODEL_MARK: "models", TRANSFORM_MARK: "transforms"}

BUILT_INS: Final = tuple(
    f"jobu_core.handlers.{name}"
    for name in (
        *("sample_handler", "pandas_preprocess", "pydantic_validator", "db_loader"),
        "pipeline",
    )
)
"""Modules whose handlers and models every installation has."""


@dataclass(frozen=True, slots=True)
class Registry:
    """Every handler, model and dataset of this installation."""

    handlers: Mapping[str, BaseHandler]
    models: Mapping[str, type[BaseModel]]
    datasets: Mapping[str, Dataset]
    free_tables: tuple[str, ...]
    code_version: str
    """Changes with jobu's version, the modules of handlers.yaml and the datasets."""
    transforms: Mapping[str, Callable[[pd.DataFrame], pd.DataFrame]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all handlers, sorted."""
        return tuple(sorted(self.handlers))

    @property
    def staged(self) -> frozenset[str]:
        """The names of handlers whose stages are ops of their own."""
        staged = (one for one in self.handlers.values() if isinstance(one, StagedHandler))
        return frozenset(one.name for one in staged)

    @property
    def declarations(self) -> Declarations:
        """What params may refer to by name."""
        return Declarations(self.datasets, self.models, self.free_tables, self.transforms)

    @property
    def fusible(self) -> frozenset[str]:
        """The names of handlers that have a second job, for ``fused: true``."""
        return frozenset(
            one.name
            for one in self.handlers.values()
            if isinstance(one, StagedHandler) and one.fusible
        )

    def handler_of_job(self, job: str) -> str:
        """Return the name of the handler that a Dagster job runs."""
        fused = {fused_job(name): name for name in self.fusible}
        return fused.get(job, job)

    def get(self, name: str) -> BaseHandler:
        """Return the handler; raises UnknownHandler with the nearest name."""
        found = self.handlers.get(name)
        if found is None:
            raise UnknownHandler(f"no handler named {name!r}{suggest(name, self.handlers)}")
        return found

    def parse(self, name: str, params: Mapping[str, Any]) -> BaseModel:
        """Return ``params`` as the handler's model, checked against what is declared.

        Raises UnknownHandler, InvalidParams naming each field but no value, or
        another InvalidInput of the handler's own check.
        """
        found = self.get(name)
        try:
            parsed = found.Params.model_validate(dict(params))
        except ValidationError as error:
            raise InvalidParams(_explain(name, found.Params, error)) from None
        found.check(parsed, self.declarations)
        return parsed

    def validate(self, name: str, params: Mapping[str, Any]) -> None:
        """Raise InvalidInput unless ``params`` can be given to the handler."""
        self.parse(name, params)


def load_registry(
    settings: HandlersSettings,
    datasets: Mapping[str, DatasetSettings],
    *,
    root: Path | None = None,
) -> Registry:
    """Import the built-in and configured modules and collect what they mark.

    ``root`` (the project's folder) is made importable, so that ``my_jobs.handlers``
    beside ``config/`` is found whatever started the process. Raises ConfigError
    naming the module or the name at fault.
    """
    _check_patterns(settings.free_tables)
    if root is not None and str(root) not in sys.path:
        sys.path.append(str(root))
    own = [_import(name) for name in settings.modules]
    modules = [importlib.import_module(name) for name in BUILT_INS] + own
    handlers = {
        name: _instantiate(name, target) for name, target in _marked(modules, HANDLER_MARK).items()
    }
    models = {name: _model(name, found) for name, found in _marked(modules, MODEL_MARK).items()}
    transforms = {
        name: _transform(name, found) for name, found in _marked(modules, TRANSFORM_MARK).items()
    }
    registry = Registry(
        handlers=handlers,
        models=models,
        datasets=build_datasets(datasets, models, transforms),
        free_tables=settings.free_tables,
        code_version=_code_version(own, datasets),
        transforms=transforms,
    )
    _refuse_taken_jobs(registry)
    return registry


def _refuse_taken_jobs(registry: Registry) -> None:
    """Raise ConfigError for a handler that has the name of another one's second job."""
    for name in registry.fusible:
        taken = registry.handlers.get(fused_job(name))
        if taken is not None:
            raise ConfigError(
                f"handler {taken.name!r}: that is the job of {name!r} with fused: true; "
                "give it another name"
            )


def _check_patterns(patterns: Sequence[str]) -> None:
    for pattern in patterns:
        try:
            split_pattern(pattern)
        except InvalidParams as error:
            raise ConfigError(f"handlers.free_tables: {error}") from error


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise ConfigError(
            f"handlers.modules: {name} cannot be imported: {type(error).__name__}: {error}"
        ) from error


def _marked(modules: Sequence[ModuleType], mark: str) -> dict[str, Any]:
    """Return the marked objects by name; one object seen twice is one."""
    found: dict[str, Any] = {}
    for module in modules:
        for target in vars(module).values():
            name = getattr(target, "__dict__", {}).get(mark)
            if name is None or found.get(name) is target:
                continue
            if name in found:
                kind = _KINDS[mark]
                raise ConfigError(
                    f"two {kind} are named {name!r}: {_place(found[name])} and {_place(target)}"
                )
            found[name] = target
    return found


def _place(target: Any) -> str:  # noqa: ANN401 - a class or a function
    return f"{target.__module__}.{target.__qualname__}"


def _instantiate(name: str, target: Any) -> BaseHandler:  # noqa: ANN401 - a class or a function
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise ConfigError(
            f"handler {str(name)[:60]!r}: {_place(target)}: a name has 1 to 200 ASCII letters,"
            " digits and underscores, as a Dagster job's"
        )
    if not isinstance(target, type):
        return FunctionHandler.wrap(name, target)
    if not issubclass(target, BaseHandler) or inspect.isabstract(target):
        raise ConfigError(
            f"handler {name!r}: {_place(target)} must subclass BaseHandler and define run"
        )
    if not issubclass(target.Params, BaseModel):
        raise ConfigError(f"handler {name!r}: {_place(target)}.Params must be a pydantic model")
    return target()


def _model(name: str, target: Any) -> type[BaseModel]:  # noqa: ANN401 - whatever was marked
    if not (isinstance(target, type) and issubclass(target, BaseModel)):
        raise ConfigError(f"model {name!r}: {_place(target)} must be a pydantic model")
    return target


def _transform(name: str, target: Any) -> Any:  # noqa: ANN401 - whatever was marked
    if isinstance(target, type) or not callable(target):
        raise ConfigError(f"transform {name!r}: {_place(target)} must be a function")
    parameters = inspect.signature(target).parameters.values()
    needed = [each for each in parameters if each.default is inspect.Parameter.empty]
    if len(needed) != 1 or needed[0].kind is inspect.Parameter.KEYWORD_ONLY:
        raise ConfigError(f"transform {name!r}: {_place(target)} must take one DataFrame")
    return target


def _code_version(modules: Sequence[ModuleType], datasets: Mapping[str, DatasetSettings]) -> str:
    digest = hashlib.sha256(version("jobu").encode())
    for module in modules:
        for path in _sources(module):
            digest.update(f"\0{module.__name__}\0{path.name}\0".encode())
            digest.update(path.read_bytes())
    declared = {name: entry.model_dump(mode="json") for name, entry in datasets.items()}
    digest.update(json.dumps(declared, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def _sources(module: ModuleType) -> Iterator[Path]:
    """Yield the module's file; of a package every Python file below it."""
    if module.__file__ is None:
        return
    file = Path(module.__file__)
    if file.name == "__init__.py":
        yield from sorted(file.parent.rglob("*.py"))
    else:
        yield file


def _explain(name: str, params: type[BaseModel], error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(part) for part in problem["loc"])[:100]
        if problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1:
            lines.append(f"{where}: unknown param{suggest(where, params.model_fields)}")
        else:
            lines.append(f"{where}: {problem['msg']}" if where else problem["msg"])
    return f"params of {name}: " + "; ".join(lines)
