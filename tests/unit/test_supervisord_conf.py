"""Supervisord reads back exactly what was meant, from any folder and environment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor.datatypes import dict_of_key_value_pairs
from supervisor.options import ServerOptions

from jobu_core.config import Settings
from jobu_core.errors import ConfigError
from jobu_core.services.layout import layout_of
from jobu_core.services.programs import configured_environment, programs
from jobu_core.services.supervisord import (
    Program,
    clean_environment,
    environment_value,
    render,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.usefixtures("runtime_folder")
_PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=40)


def _can_be_quoted(value: str) -> bool:
    one_kind = not ('"' in value and "'" in value)
    return one_kind and value == value.strip("'\"")


@given(st.dictionaries(st.from_regex(r"\A[A-Z][A-Z_]{0,8}\Z"), _PRINTABLE, max_size=3))
def test_an_environment_reads_back_or_is_refused(environment: dict[str, str]) -> None:
    """A value is never handed over changed: a name that cannot be written is reported."""
    unwritable = [name for name, value in environment.items() if not _can_be_quoted(value)]
    if unwritable:
        with pytest.raises(ConfigError, match="|".join(unwritable)):
            environment_value(environment)
        return
    written = environment_value(environment)
    assert dict_of_key_value_pairs(written.replace("%%", "%")) == environment


def test_a_variable_that_cannot_be_written_is_named_without_its_value() -> None:
    """It may be a URL with a password."""
    with pytest.raises(ConfigError, match="JOBU_DATABASE_URL") as caught:
        environment_value({"JOBU_DATABASE_URL": "postgresql://u:hush #@h/d"})
    assert "hush" not in str(caught.value)


def test_a_json_setting_and_a_password_survive() -> None:
    """Nested settings are JSON, passwords hold percent signs and commas."""
    environment = {"JOBU_DATABASES": '{"a": {"url": "x"}}', "PASSWORD": "50%,=1"}
    written = environment_value(environment)
    assert dict_of_key_value_pairs(written.replace("%%", "%")) == environment


def test_the_configuration_is_read_by_supervisord_as_meant(tmp_path: Path) -> None:
    """A project in a folder with a space, a percent sign and a quote works."""
    root = tmp_path / "shop 100% o'clock"
    layout = layout_of(Settings(root=root))
    layout.prepare()
    command = ("/bin/echo", "a b", "50%", "it's")
    program = Program("greeter", "greeter", command, root, {"SHOP": "50% off"})
    layout.supervisor_conf.write_text(render(layout, [program]))

    options = ServerOptions()
    options.realize(["-c", str(layout.supervisor_conf), "-n"])

    (group,) = options.process_group_configs
    (read,) = group.process_configs
    assert read.command == "/bin/echo 'a b' 50% 'it'\"'\"'s'"
    assert read.environment == {"SHOP": "50% off"}
    assert read.directory == str(root)
    assert read.autostart is False
    assert read.stdout_logfile == str(layout.logs / "greeter.log")
    assert options.logfile == str(layout.logs / "supervisord.log")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """Supervisord would take the rest of the line for a comment."""
    with pytest.raises(ConfigError, match="move the project"):
        render(layout_of(Settings(root=tmp_path / "a ;b")), [])


def test_a_caller_s_environment_is_not_handed_down() -> None:
    """A stack started from inside Dagster or Celery does not believe to be part of it."""
    environment = {"DAGSTER_HOME": "/x", "SUPERVISOR_ENABLED": "1", "PATH": "/bin"}
    assert clean_environment(environment) == {"PATH": "/bin"}


def test_only_configuration_reaches_the_programs(tmp_path: Path) -> None:
    """Settings and the variables that config/ names: another terminal changes nothing."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "database.yaml").write_text("databases: {a: {url: '${SHOP_URL:-}'}}")
    environ = {"SHOP_URL": "u", "JOBU_STACK": "embedded", "TERM": "xterm", "WINDOWID": "1"}
    assert configured_environment(Settings(root=tmp_path), environ) == {
        "SHOP_URL": "u",
        "JOBU_STACK": "embedded",
        "JOBU_ROOT": str(tmp_path),
    }


def test_the_same_settings_give_the_same_programs(tmp_path: Path) -> None:
    """A second `jobu up` finds nothing changed and restarts nothing."""
    settings = Settings(root=tmp_path)
    layout = layout_of(settings)
    first = render(layout, programs(settings, layout))
    assert render(layout, programs(settings, layout)) == first


def _environments(settings: Settings) -> dict[str, Mapping[str, str]]:
    found = programs(settings, layout_of(settings))
    return {each.name: each.environment for each in found}


def test_changed_configuration_or_handlers_restart_what_reads_them(tmp_path: Path) -> None:
    """`jobu up` applies an edit; the broker is left alone, as its memory would be lost."""
    (tmp_path / "config").mkdir()
    (tmp_path / "shop").mkdir()
    settings = Settings.model_validate(
        {"root": tmp_path, "handlers": {"modules": ["shop.jobs", "shop"]}},
    )
    for edited in ("config/worker.yaml", "shop/jobs.py", "shop/__init__.py"):
        before = _environments(settings)
        (tmp_path / edited).write_text("# edited")
        after = _environments(settings)
        changed = {name for name in after if after[name] != before[name]}
        assert changed == {"worker", "code-server", "daemon", "webserver"}


def test_settings_of_others_do_not_restart_the_broker(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More slots for the worker must not cost the messages in memory."""
    settings = Settings(root=tmp_path)
    before = _environments(settings)
    monkeypatch.setenv("JOBU_WORKER__SLOTS", "4")
    assert _environments(settings)["kafka"] == before["kafka"]
    assert _environments(settings)["worker"] != before["worker"]
    monkeypatch.setenv("JOBU_QUEUE_DISPATCHER__KAFKA_TOPIC", "orders")
    assert _environments(settings)["kafka"] != before["kafka"]


def test_the_external_stack_runs_no_services() -> None:
    """PostgreSQL, Valkey and Kafka are somebody else's there."""
    settings = Settings.model_validate(
        {
            "root": Path("/srv/shop"),
            "stack": "external",
            "databases": {"default": {"url": "postgresql://h/db"}},
            "worker": {"broker_url": "redis://h"},
        },
    )
    names = {each.name for each in programs(settings, layout_of(settings))}
    assert names == {"worker", "code-server", "daemon", "webserver"}
