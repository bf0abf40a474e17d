"""Configuration comes from files and environment, and refuses what it does not know."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from jobu_core.config import Settings, Stack, find_root, load_settings
from jobu_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "hunter2"  # noqa: S105 - what must never be shown
PROJECT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project without configuration, in an environment without ours."""
    for name in ("JOBU_ROOT", "JOBU_STACK", "JOBU_DATABASE_URL", "JOBU_BROKER_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config").mkdir()
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Callable[[str, str], None]:
    """Return a function that writes one file of ``config/``."""

    def write_file(name: str, text: str) -> None:
        (folder / "config" / name).write_text(text, encoding="utf-8")

    return write_file


def refusal(folder: Path) -> str:
    """Return the text with which ``folder`` is refused."""
    with pytest.raises(ConfigError) as caught:
        load_settings(folder)
    return str(caught.value)


def test_no_files_means_the_defaults(folder: Path) -> None:
    """An empty folder gives the embedded stack and the known topic."""
    settings = load_settings(folder)
    assert settings.stack is Stack.EMBEDDED
    assert settings.queue_dispatcher.kafka_topic == "jobu-events"
    assert settings.state_dir == folder / ".jobu"


def test_the_shipped_files_are_the_defaults(folder: Path) -> None:
    """What config/ spells out is what jobu does without it."""
    shipped = load_settings(PROJECT).model_dump(exclude={"root", "datasets", "handlers"})
    assert shipped == load_settings(folder).model_dump(exclude={"root", "datasets", "handlers"})


def test_a_file_overrides_a_default(
    folder: Path,
    write: Callable[[str, str], None],
) -> None:
    """A key in YAML replaces the default and leaves its neighbours."""
    write("worker.yaml", "worker: {slots: 7}")
    assert load_settings(folder).worker.slots == 7
    assert load_settings(folder).worker.max_retry == 3


def test_the_environment_overrides_a_file(
    folder: Path,
    write: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """JOBU_WORKER__SLOTS wins over worker.yaml, one key at a time."""
    write("worker.yaml", "worker: {slots: 7, max_retry: 9}")
    monkeypatch.setenv("JOBU_WORKER__SLOTS", "4")
    worker = load_settings(folder).worker
    assert (worker.slots, worker.max_retry) == (4, 9)


def test_a_database_can_be_named_by_the_environment_alone(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """JOBU_DATABASES__{NAME}__URL adds a target."""
    monkeypatch.setenv("JOBU_DATABASES__WAREHOUSE__URL", "postgresql://w/db")
    urls = load_settings(folder).databases
    assert urls["warehouse"].url.get_secret_value() == "postgresql://w/db"


def test_a_variable_is_expanded(
    folder: Path,
    write: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """${VAR} takes the environment's value, wherever it stands in the text."""
    monkeypatch.setenv("TEAM", "blue")
    write("queue.yaml", "queue_dispatcher: {kafka_topic: 'jobs-${TEAM}-1'}")
    assert load_settings(folder).queue_dispatcher.kafka_topic == "jobs-blue-1"


@pytest.mark.parametrize("given", [None, ""])
def test_an_unset_or_empty_variable_takes_its_default(
    folder: Path,
    write: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    given: str | None,
) -> None:
    """${VAR:-default} follows the shell: empty counts as unset."""
    if given is not None:
        monkeypatch.setenv("TEAM", given)
    write("queue.yaml", "queue_dispatcher: {kafka_topic: '${TEAM:-green}'}")
    assert load_settings(folder).queue_dispatcher.kafka_topic == "green"


def test_an_unset_variable_without_default_is_named(
    folder: Path,
    write: Callable[[str, str], None],
) -> None:
    """The file, the key and the variable stand in the error."""
    write("queue.yaml", "queue_dispatcher: {kafka_topic: '${NOT_SET_ANYWHERE}'}")
    text = refusal(folder)
    assert "queue.yaml" in text
    assert "queue_dispatcher.kafka_topic" in text
    assert "NOT_SET_ANYWHERE" in text


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("worker.yaml", "worker: {slot: 1}", "worker.slot: unknown key (did you mean 'slots'?)"),
        ("worker.yaml", "wroker: {}", "unknown key 'wroker' (did you mean 'worker'?)"),
        ("wroker.yaml", "", "unknown configuration file (did you mean 'worker.yaml'?)"),
        ("database.yaml", "databases: {default: {ulr: x}}", "did you mean 'url'?"),
        ("dispatcher.yaml", "dispatcher: {launch: {ahed: 2}}", "did you mean 'ahead'?"),
        ("worker.yaml", "worker: {slots: 0}", "worker.slots: Input should be greater than"),
        ("worker.yaml", "worker: {slots: 1, slots: 2}", "line 1: key 'slots' is given twice"),
        ("database.yaml", "stack: &a external\ndatabases: *a", "line 2: YAML aliases are not"),
        ("queue.yaml", "queue_dispatcher: {database: x}", "must be 'default', the job store"),
        ("worker.yaml", "worker: {[a, b]: 1}", "line 1: a key must be a plain word"),
        ("worker.yaml", "- worker", "must be a mapping with the keys worker"),
        ("worker.yaml", "worker: {\n", "worker.yaml: line 2: not valid YAML"),
        ("worker.yaml", "worker: !!python/object:x {}", "not valid YAML"),
    ],
)
def test_a_mistake_in_a_file_is_explained(
    folder: Path,
    write: Callable[[str, str], None],
    file: str,
    text: str,
    expected: str,
) -> None:
    """Each mistake names its place and, for a misspelling, the nearest known name."""
    write(file, text)
    assert expected in refusal(folder)


def test_a_file_that_is_not_text_is_refused(folder: Path) -> None:
    """Bytes that are not UTF-8 give an error with the file's name."""
    (folder / "config" / "worker.yaml").write_bytes(b"\xff\xfe\x00")
    assert "worker.yaml" in refusal(folder)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("JOBU_WORKR__SLOTS", "1", "did you mean 'JOBU_WORKER'?"),
        ("JOBU_WORKER__SLOT", "1", "worker.slot: unknown key (did you mean 'slots'?)"),
        ("JOBU_HANDLERS__MODULES", "not json", "must be JSON"),
    ],
)
def test_a_mistake_in_the_environment_is_explained(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    expected: str,
) -> None:
    """A JOBU_… variable that sets nothing is an error, not silence."""
    monkeypatch.setenv(variable, value)
    assert expected in refusal(folder)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("database.yaml", f"databases:\n  default:\n    url: postgresql://u:{SECRET}@h/d\n   x: ["),
        ("database.yaml", f'databases: {{default: {{url: "postgresql://u:{SECRET}@h/d}}}}'),
        ("database.yaml", f"databases: {{default: {{url: [{SECRET}]}}}}"),
        ("database.yaml", f"databases: {{default: {{url: x, pool_size: {SECRET}}}}}"),
        ("queue.yaml", f"kafka: {{adopt_existing: {SECRET}}}"),
    ],
)
def test_an_error_never_quotes_a_value(
    folder: Path,
    write: Callable[[str, str], None],
    file: str,
    text: str,
) -> None:
    """Neither the message nor a chained cause repeats what was written."""
    write(file, text)
    with pytest.raises(ConfigError) as caught:
        load_settings(folder)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_secrets_are_not_shown(folder: Path, write: Callable[[str, str], None]) -> None:
    """Printing the settings shows no password."""
    write("database.yaml", f"databases: {{default: {{url: 'postgresql://u:{SECRET}@h/d'}}}}")
    write("worker.yaml", f"worker: {{broker_url: 'redis://:{SECRET}@h/0'}}")
    write("queue.yaml", f"kafka: {{client: {{sasl.password: {SECRET}}}}}")
    settings = load_settings(folder)
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)


def test_settings_are_frozen(folder: Path) -> None:
    """Nothing changes the configuration after it was read."""
    settings = load_settings(folder)
    with pytest.raises(ValidationError, match="frozen"):
        settings.worker.slots = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("stack", "chosen", "expected"),
    [
        ("embedded", None, "new_generation"),
        ("external", None, "stop"),
        ("embedded", "stop", "stop"),
        ("external", "new_generation", "new_generation"),
    ],
)
def test_a_recreated_topic_stops_unless_the_broker_is_in_memory(
    folder: Path,
    write: Callable[[str, str], None],
    stack: str,
    chosen: str | None,
    expected: str,
) -> None:
    """The stack gives the default; a chosen value wins."""
    write("database.yaml", f"stack: {stack}")
    if chosen is not None:
        write("queue.yaml", f"queue_dispatcher: {{on_recreate: {chosen}}}")
    assert load_settings(folder).on_recreate == expected


def test_root_is_what_the_environment_names(tmp_path: Path) -> None:
    """JOBU_ROOT wins over the working directory."""
    assert find_root({"JOBU_ROOT": str(tmp_path)}, start=PROJECT) == tmp_path.resolve()


def test_root_is_the_nearest_folder_with_a_configuration() -> None:
    """From a folder deep inside, the project is found upwards."""
    assert find_root({}, start=Path(__file__).parent) == PROJECT


def test_root_falls_back_to_where_one_stands(tmp_path: Path) -> None:
    """Outside any project the working directory is the root."""
    assert find_root({}, start=tmp_path) == tmp_path.resolve()


def test_every_setting_is_documented() -> None:
    """Each section's class says what it is for."""
    sections = [field.annotation for field in Settings.model_fields.values()]
    for section in sections:
        if isinstance(section, type) and section.__module__.startswith("jobu_core.config"):
            assert section.__doc__
