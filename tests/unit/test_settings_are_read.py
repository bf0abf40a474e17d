"""A setting that nothing reads is a promise nobody keeps."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final, Literal, get_args, get_origin

import pytest

from jobu_core.config import (
    AdminSettings,
    BucketSettings,
    DatabaseSettings,
    DatasetSettings,
    DispatcherSettings,
    HandlersSettings,
    KafkaSettings,
    LaunchSettings,
    QueueSettings,
    RetentionSettings,
    Settings,
    WorkerSettings,
)
from jobu_core.config.datasets import CsvOptions
from jobu_core.config.sections import Section
from scripts.tracked import tracked_texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

CALLED: Final[dict[type[BaseModel], frozenset[str]]] = {
    AdminSettings: frozenset({"admin"}),
    BucketSettings: frozenset({"bucket", "_bucket"}),
    CsvOptions: frozenset({"options", "_options"}),
    DatabaseSettings: frozenset({"database", "default"}),
    DatasetSettings: frozenset({"settings"}),
    DispatcherSettings: frozenset({"dispatcher", "settings"}),
    HandlersSettings: frozenset({"handlers", "settings"}),
    KafkaSettings: frozenset({"kafka"}),
    LaunchSettings: frozenset({"launch", "settings"}),
    RetentionSettings: frozenset({"retention"}),
    QueueSettings: frozenset({"queue", "_queue", "queue_dispatcher"}),
    Settings: frozenset({"known", "self", "settings", "_settings"}),
    WorkerSettings: frozenset({"limits", "settings", "worker"}),
}
"""What the source calls an object of each section: ``queue.kafka_topic`` reads one."""

FIELDS: Final = [(model, name) for model in CALLED for name in model.model_fields]


def reads_in(source: str) -> Iterator[tuple[str, str]]:
    """Yield (owner, attribute) for each attribute that is read, as in ``owner.attribute``."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(
                value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=name, ctx=ast.Load()
            ):
                yield owner, name


@pytest.fixture(scope="module")
def reads() -> frozenset[tuple[str, str]]:
    """Return every (owner, attribute) that the three packages read."""
    sources = tracked_texts("jobu_core/*.py", "jobu_dagster/*.py", "jobu_admin/*.py")
    return frozenset(read for _, source in sources for read in reads_in(source))


def test_every_section_is_looked_at() -> None:
    """A new group of settings must be listed here, or its fields would go unchecked."""
    assert {*Section.__subclasses__(), Settings} == set(CALLED)


@pytest.mark.parametrize(
    ("model", "name"), FIELDS, ids=[f"{model.__name__}.{name}" for model, name in FIELDS]
)
def test_a_setting_is_read(
    reads: frozenset[tuple[str, str]], model: type[BaseModel], name: str
) -> None:
    """Somewhere the value is used, or it can have one value only, which a validator explains."""
    validators = model.__pydantic_decorators__.field_validators.values()
    if any(name in validator.info.fields for validator in validators):
        return
    annotation = model.model_fields[name].annotation
    if get_origin(annotation) is Literal and len(get_args(annotation)) == 1:
        return
    assert any((owner, name) in reads for owner in CALLED[model])
