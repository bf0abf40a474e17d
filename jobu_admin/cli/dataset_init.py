"""``jobu datasets init``: what a file seems to be, written down for a person to correct.

Everything is put together in memory first. Files are written whole; what is there
already is replaced only when that was asked for; ``datasets.yaml`` comes last, so
that a dataset is never declared before its model.
"""

from __future__ import annotations

import importlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobu_core.config import load_settings
from jobu_core.config.yaml_edit import with_entry, with_item
from jobu_core.errors import ConfigError, Conflict, InvalidInput, InvalidParams
from jobu_core.handlers.registry import load_registry
from jobu_core.pipeline.infer.dialect import sniff_dialect
from jobu_core.pipeline.infer.draft import dataset_entry, entry_text, model_source, sample_event
from jobu_core.pipeline.infer.inference import infer
from jobu_core.pipeline.infer.names import checked_name, dataset_name, model_name
from jobu_core.pipeline.load.ddl import create_table_text
from jobu_core.pipeline.load.identifiers import parse_table, reserved
from jobu_core.pipeline.model_columns import columns_of_model
from jobu_core.services.runtime import database_urls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobu_core.config import Settings
    from jobu_core.handlers.registry import Registry
    from jobu_core.pipeline.infer.inference import Inference
    from jobu_core.pipeline.load.identifiers import TableName

PACKAGE: Final = "my_jobs"
"""Folder beside ``config/`` that models are written to."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asked for; None: to be found out."""

    name: str | None
    target: str | None
    package: str
    encoding: str | None
    delimiter: str | None
    rows: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A dataset put together in memory."""

    name: str
    module: str
    target: TableName
    found: Inference
    files: dict[Path, str]
    """New files, the model first."""
    entry: str
    """The dataset as text for ``datasets.yaml``."""


def draft_dataset(
    settings: Settings, registry: Registry, path: Path, *, logical: str, wanted: Wanted
) -> Draft:
    """Infer a dataset from ``path``; raises JobuError for what cannot be one."""
    if path.suffix.lower() in {".parquet", ".pq"}:
        raise InvalidInput(f"{logical}: is a Parquet; init reads CSV files")
    stem = path.name.partition(".")[0]
    if not wanted.package.isidentifier():
        raise InvalidParams(f"--package: {wanted.package!r} is no name of a Python package")
    name = dataset_name(stem) if wanted.name is None else checked_name(wanted.name)
    target = _target(settings, wanted.target or f"default.public.{name}")
    module = f"{wanted.package}.{name}"
    _refuse_other_model(registry, model_name(name), module)
    csv = sniff_dialect(path, name=logical, encoding=wanted.encoding, delimiter=wanted.delimiter)
    found = infer(path, source_name=logical, csv=csv, most_rows=wanted.rows)
    columns = columns_of_model(found.model(model_name(name)))
    folder = settings.root / wanted.package
    files = {
        folder / f"{name}.py": model_source(name, found),
        folder / f"{name}.sql": create_table_text(
            database_urls(settings)[target.database], target, columns
        ),
        folder / f"{name}.event.json": sample_event(name, found),
    }
    entry = entry_text(name, dataset_entry(name, found, target))
    return Draft(name, module, target, found, files, entry)


def refuse_conflicts(settings: Settings, draft: Draft) -> None:
    """Raise Conflict naming everything that the draft would write over."""
    there = [str(path.relative_to(settings.root)) for path in draft.files if path.exists()]
    if draft.name in settings.datasets:
        there.append(f"dataset {draft.name} of config/datasets.yaml")
    if there:
        raise Conflict(f"there already: {', '.join(there)}; choose another --name, or --force")


def write_draft(settings: Settings, draft: Draft) -> list[Path]:
    """Write the draft's files and declare it; return what was written or changed.

    Raises ConfigError, before the first file, when the configuration cannot be
    edited, and afterwards when it does not show the dataset (the environment wins).
    """
    config = settings.root / "config"
    handlers, datasets = config / "handlers.yaml", config / "datasets.yaml"
    texts = dict(draft.files)
    texts[handlers] = _edited(
        handlers, lambda text: with_item(text, "handlers", "modules", draft.module)
    )
    texts[datasets] = _edited(
        datasets, lambda text: with_entry(text, "datasets", draft.name, draft.entry)
    )
    _try_configuration(settings, {path: texts[path] for path in (handlers, datasets)})
    changed = [path for path, text in texts.items() if _read(path) != text]
    for path in changed:
        _write(path, texts[path])
    importlib.invalidate_caches()
    return changed


def insist_declared(settings: Settings, draft: Draft) -> None:
    """Raise ConfigError unless the configuration, read anew, has the dataset."""
    registry = load_registry(settings.handlers, settings.datasets, root=settings.root)
    if draft.name not in registry.datasets:
        raise ConfigError(
            f"dataset {draft.name} is written, but the configuration does not show it: "
            "is JOBU_DATASETS or JOBU_HANDLERS__MODULES set in the environment?"
        )


def _try_configuration(settings: Settings, texts: Mapping[Path, str]) -> None:
    """Raise ConfigError when the project could not be started with these files."""
    with tempfile.TemporaryDirectory(prefix="jobu-init-") as folder:
        copy = Path(folder) / "config"
        shutil.copytree(settings.root / "config", copy)
        for path, text in texts.items():
            (copy / path.name).write_text(text, encoding="utf-8")
        load_settings(Path(folder))


def _target(settings: Settings, text: str) -> TableName:
    target = parse_table(text)
    why = reserved(target)
    if why is not None:
        raise InvalidParams(f"{target} can never be a target: {why}")
    known = database_urls(settings)
    if target.database not in known:
        raise InvalidParams(
            f"target: no database {target.database!r}; there are: {', '.join(sorted(known))}"
        )
    return target


def _refuse_other_model(registry: Registry, name: str, module: str) -> None:
    found = registry.models.get(name)
    if found is not None and found.__module__ != module:
        raise Conflict(f"a model {name} exists in {found.__module__}; choose another --name")


def _edited(path: Path, edit: Callable[[str], str]) -> str:
    try:
        return edit(_read(path) or "")
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error}") from None


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
