"""``mysql://`` URLs: every spelling that is meant, and a clear error for each that is not."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest

from jobu_core.config import Settings, load_settings
from jobu_core.errors import ConfigError
from jobu_core.pipeline.load.mysql.connecting import (
    SslMode,
    Tls,
    _tls_arguments,
    connect,
    read_url,
)
from jobu_core.services.runtime import database_urls

if TYPE_CHECKING:
    from pathlib import Path

HUSH = "hush-4711"


def read(url: str) -> Any:  # noqa: ANN401 - an address
    """Read a URL of database ``w``."""
    return read_url(url, "w")


@pytest.mark.parametrize(
    "scheme", ["mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql", "MySQL"]
)
def test_what_stands_before_the_host(scheme: str) -> None:
    """A driver's name is ignored: jobu has its own."""
    address = read(f"{scheme}://u:p@h/d")
    assert address.connect["host"] == "h"
    assert (address.connect["port"], address.database) == (3306, "d")


@pytest.mark.parametrize("password", ["p@ss", "a:b/c?d#e", "100%", "한글 🎉", "a+b", "'\"\\`$"])
def test_a_password_may_hold_anything(password: str) -> None:
    """Percent-encoded, as in every URL."""
    encoded = "".join(f"%{byte:02X}" for byte in password.encode())
    assert read(f"mysql://u:{encoded}@h/d").url.password == password


def test_what_connects_when_nothing_is_said() -> None:
    """TLS where it is offered, five seconds to connect, no limit of an answer's time."""
    address = read("mysql://u@h/d")
    assert address.tls == Tls(SslMode.PREFERRED)
    assert address.local_infile
    assert address.connect == {
        "user": "u",
        "database": "d",
        "host": "h",
        "port": 3306,
        "charset": "utf8mb4",
        "connect_timeout": 5.0,
    }


def test_every_option_reaches_the_connection() -> None:
    """None is read and forgotten."""
    address = read(
        "mysql://u@/d?unix_socket=/s&local_infile=off&charset=utf8mb4&connect_timeout=2"
        "&read_timeout=0.5&write_timeout=7&ssl_ca=a&ssl_cert=c&ssl_key=k&ssl_mode=verify_identity"
    )
    assert address.tls == Tls(SslMode.VERIFY_IDENTITY, "a", "c", "k")
    assert not address.local_infile
    assert address.connect == {
        "user": "u",
        "database": "d",
        "unix_socket": "/s",
        "charset": "utf8mb4",
        "connect_timeout": 2.0,
        "read_timeout": 0.5,
        "write_timeout": 7.0,
    }
    assert read("mysql://u@h/d?ssl_ca=a").tls.mode is SslMode.VERIFY_CA


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (f"mysql//u:{HUSH}@h/d", "not a URL of the form mysql://user:password@host:3306/database"),
        (f"mysql://u:{HUSH}@h:x/d", "not a URL of the form"),
        (f"mysql://u:half@{HUSH}@h/d", "special characters of user and password as %40"),
        (f"mysql://u:{HUSH}@h", "names no database"),
        (f"mysql://u:{HUSH}@h/d?local_infil=1", "unknown option 'local_infil'.*'local_infile'"),
        (f"mysql://u:{HUSH}@h/d?local_infile=maybe", "local_infile must be one of 1, true, on"),
        (f"mysql://u:{HUSH}@h/d?charset=latin1", "charset must be one of utf8mb4"),
        (f"mysql://u:{HUSH}@h/d?ssl_mode=on", "ssl_mode must be one of disabled, preferred"),
        (f"mysql://u:{HUSH}@h/d?ssl_mode=required&ssl_ca=x", "ssl_ca needs ssl_mode verify_ca"),
        (f"mysql://u:{HUSH}@h/d?ssl_cert=x&ssl_mode=required", "given together"),
        (f"mysql://u:{HUSH}@h/d?ssl_cert=x&ssl_key=y", "ssl_cert needs ssl_mode required"),
        (f"mysql://u:{HUSH}@h/d?connect_timeout=0", "connect_timeout must be a number of seconds"),
        (f"mysql://u:{HUSH}@h/d?read_timeout=nan", "read_timeout must be a number"),
        (f"mysql://u:{HUSH}@h/d?read_timeout=1&read_timeout=2", "'read_timeout' is given twice"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(url: str, told: str) -> None:
    """The setting is named, and what to write instead."""
    with pytest.raises(ConfigError, match=told) as caught:
        read(url)
    assert str(caught.value).startswith("databases.w.url")
    assert HUSH not in str(caught.value)


def test_files_of_tls_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """Before anything is sent to anybody."""
    with pytest.raises(ConfigError, match=r"databases\.w\.url: a file of ssl_ca.*No such file"):
        connect(read(f"mysql://u@127.0.0.1:1/d?ssl_ca={tmp_path}/none"), "w")
    (tmp_path / "odd").write_text("no certificate")
    with pytest.raises(ConfigError, match="no certificate"):
        connect(read(f"mysql://u@127.0.0.1:1/d?ssl_ca={tmp_path}/odd"), "w")


def configured(project: Path, line: str) -> Settings:
    """Return settings whose database ``warehouse`` has that URL in the file."""
    text = f"databases:\n  default: {{url: postgresql://u@h/d}}\n  warehouse:\n    url: {line}\n"
    (project / "config" / "database.yaml").write_text(text, encoding="utf-8")
    return load_settings(project)


def test_the_url_in_the_file_takes_variables(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password stays out of the file; a variable that is not set is an error."""
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "p%40ss")
    settings = configured(project, "mysql+pymysql://u:${WAREHOUSE_PASSWORD}@h/d?local_infile=0")
    url = database_urls(settings)["warehouse"]
    assert read(url).url.password == "p@ss"  # noqa: S105 - of this test
    assert "p%40ss" not in repr(settings)
    monkeypatch.delenv("WAREHOUSE_PASSWORD")
    with pytest.raises(ConfigError, match="WAREHOUSE_PASSWORD"):
        configured(project, "mysql+pymysql://u:${WAREHOUSE_PASSWORD}@h/d")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (f"oracle://u:{HUSH}@h/d", "begins with 'oracle'; loads go into postgresql://, mysql://"),
        (f"sqlite:///{HUSH}", "begins with 'sqlite'"),
        (f"mysql://u:{HUSH}@h", r"databases\.warehouse\.url names no database"),
        (f"mysql://u:{HUSH}@h/d?ssl=1", "unknown option 'ssl'"),
    ],
)
def test_a_target_that_cannot_work_is_an_error_of_the_configuration(
    project: Path, url: str, told: str
) -> None:
    """At the start of a process, not in the middle of the first load."""
    with pytest.raises(ConfigError, match=told) as caught:
        database_urls(configured(project, url))
    assert HUSH not in str(caught.value)


def test_the_hosts_name_is_looked_at_with_the_systems_certificates_too() -> None:
    """PyMySQL does so only with a file of certificates; any valid one would do otherwise."""
    context = _tls_arguments(Tls(SslMode.VERIFY_IDENTITY), "w")["ssl"]
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    context = _tls_arguments(Tls(SslMode.VERIFY_CA), "w")["ssl"]
    assert (context.check_hostname, context.verify_mode) == (False, ssl.CERT_REQUIRED)
