"""Addresses follow from the settings alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url

from jobu_core.config import DatabaseSettings, Settings, Stack, WorkerSettings
from jobu_core.errors import ConfigError
from jobu_core.services.endpoints import endpoints, with_search_path, without_password
from jobu_core.services.runtime import database_urls


def _settings(stack: Stack, *, database: str = "", broker: str = "") -> Settings:
    return Settings(
        root=Path("/srv/shop orders"),
        stack=stack,
        databases={"default": DatabaseSettings.model_validate({"url": database})},
        worker=WorkerSettings.model_validate({"broker_url": broker}),
    )


def test_the_embedded_stack_is_reached_by_sockets_under_the_project() -> None:
    """A folder with a space in its name is written so that libpq reads it back."""
    where = endpoints(_settings(Stack.EMBEDDED))
    read = conninfo_to_dict(where.database_url)
    assert read["host"] == "/srv/shop orders/.jobu/run/pg"
    assert (read["user"], read["dbname"]) == ("jobu", "jobu")
    assert where.broker_url == "redis+socket:///srv/shop%20orders/.jobu/run/valkey.sock"


def test_dagster_shares_the_database_in_its_own_schema() -> None:
    """Both drivers, libpq's URL and SQLAlchemy's, see the same search path."""
    url = endpoints(_settings(Stack.EMBEDDED)).dagster_database_url
    assert conninfo_to_dict(url)["options"] == "-c search_path=dagster"
    assert make_url(url).query["options"] == "-c search_path=dagster"


def test_options_of_a_configured_url_are_kept() -> None:
    """Setting the search path adds to the options that a person gave."""
    url = with_search_path("postgresql://h/db?options=-c%20statement_timeout%3D5s", "dagster")
    options = conninfo_to_dict(url)["options"]
    assert options == "-c statement_timeout=5s -c search_path=dagster"


@pytest.mark.parametrize(
    ("given", "named"),
    [({}, "databases.default.url"), ({"database": "postgresql://h/db"}, "worker.broker_url")],
)
def test_the_external_stack_names_the_url_that_is_missing(
    given: dict[str, str],
    named: str,
) -> None:
    """Nothing is guessed: the setting is named with its variable."""
    with pytest.raises(ConfigError, match=named):
        endpoints(_settings(Stack.EXTERNAL, **given))


def test_the_compose_stack_knows_its_published_ports() -> None:
    """Without URLs the compose stack means what its file publishes on this machine."""
    where = endpoints(_settings(Stack.COMPOSE))
    assert where.database_url == "postgresql://jobu:jobu@localhost:5432/jobu"
    assert where.broker_url == "redis://localhost:6379/0"


def test_a_driver_in_the_url_is_dropped() -> None:
    """`postgresql+psycopg://` is what people paste from elsewhere."""
    settings = _settings(Stack.EXTERNAL, database="postgresql+psycopg://a@h/db", broker="redis://h")
    assert endpoints(settings).database_url == "postgresql://a@h/db"


def test_a_job_store_that_is_not_postgresql_is_refused_without_its_password() -> None:
    """The message names the setting and never repeats the URL."""
    settings = _settings(Stack.EXTERNAL, database="mysql://a:hush@h/db", broker="redis://h")
    with pytest.raises(ConfigError, match=r"databases\.default\.url") as caught:
        endpoints(settings)
    assert "hush" not in str(caught.value)


def test_a_shown_url_hides_the_password_only() -> None:
    """User, host and query stay readable."""
    assert without_password("redis://:hush@h:1/0") == "redis://:***@h:1/0"
    assert without_password("postgresql://a@/db?host=/run") == "postgresql://a@/db?host=/run"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hush@h/d",
        "postgresql://u:hu/sh@hush@h/d",
        "postgresql://u@h/d?sslpassword=hush&x=1",
        "postgresql://h/d?password=hush",
        "redis://:hush/hush@h:1/0",
    ],
)
def test_a_shown_url_hides_a_password_of_any_form(url: str) -> None:
    """Also one with characters that belong encoded, also one in the query."""
    assert "sh" not in without_password(url)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"database": "postgresql://u:a@hush@h/d", "broker": "redis://h"}, "databases.default"),
        ({"database": "postgresql://u@h:hush/d", "broker": "redis://h"}, "databases.default"),
        ({"database": "postgresql://h/d", "broker": "redis://:a/hush@h/0"}, "worker.broker_url"),
        ({"database": "postgresql://h/d", "broker": "redis://:a@h:hush/0"}, "worker.broker_url"),
    ],
)
def test_half_a_password_is_not_taken_for_a_host(given: dict[str, str], named: str) -> None:
    """It would be looked up, and shown when it is not found."""
    with pytest.raises(ConfigError, match=named) as caught:
        endpoints(_settings(Stack.EXTERNAL, **given))
    assert "hush" not in str(caught.value)


def test_every_load_target_needs_a_url() -> None:
    """An empty URL of a named target is reported with its key, not used."""
    settings = _settings(Stack.COMPOSE).model_copy(
        update={"databases": {"sales": DatabaseSettings()}},
    )
    with pytest.raises(ConfigError, match=r"databases\.sales\.url"):
        database_urls(settings)
