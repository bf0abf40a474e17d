"""``mysql://`` URLs: what they may say, and the connection that they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pymysql import err
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from jobu_core.config.sources import suggest
from jobu_core.errors import ConfigError, TargetUnavailable
from jobu_core.pipeline.load.mysql.failures import told
from jobu_core.pipeline.load.mysql.streaming import StreamingConnection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import URL

T = TypeVar("T")

SCHEMES: Final = frozenset({"mysql", "mariadb"})
"""What the URL of such a target begins with; a driver (``mysql+pymysql``) is ignored."""

_CONNECT_TIMEOUT_SECONDS: Final = 5
_DEFAULT_PORT: Final = 3306
_OPTIONS: Final = ("unix_socket", "local_infile", "ssl_mode", "ssl_ca", "ssl_cert", "ssl_key")
_SSL: Final[Mapping[str, Mapping[str, Any]]] = {
    "disabled": {"ssl_disabled": True},
    "preferred": {},
    "required": {"ssl_verify_cert": False},
    "verify_ca": {"ssl_verify_cert": True},
    "verify_identity": {"ssl_verify_identity": True},
}


@dataclass(frozen=True, slots=True)
class Address:
    """What a ``mysql://`` URL says."""

    url: URL
    database: str
    local_infile: bool
    """Whether LOAD DATA LOCAL may be used where the server allows it."""
    connect: Mapping[str, Any]
    """Keyword arguments of PyMySQL's connection, without the password."""


def read_url(url: str, name: str) -> Address:
    """Read the URL of database ``name``; raises ConfigError, never with the URL in it."""
    setting = f"databases.{name}.url"
    try:
        parsed = make_url(url)
        port = parsed.port or _DEFAULT_PORT
    except (ArgumentError, ValueError):
        raise ConfigError(
            f"{setting} is not a URL of the form mysql://user:password@host:3306/database"
        ) from None
    if not parsed.database:
        raise ConfigError(f"{setting} names no database; loads keep their manifest there")
    for option in parsed.query:
        if option not in _OPTIONS:
            raise ConfigError(f"{setting}: unknown option {option!r}{suggest(option, _OPTIONS)}")
    options = {option: _single(value, option, setting) for option, value in parsed.query.items()}
    socket = options.get("unix_socket")
    connect: dict[str, Any] = {"user": parsed.username, "database": parsed.database}
    connect |= {"unix_socket": socket} if socket else {"host": parsed.host, "port": port}
    connect |= _tls(options, setting)
    return Address(
        parsed,
        parsed.database,
        _choice(options, "local_infile", {"1": True, "0": False}, "1", setting),
        connect,
    )


def connect(address: Address, name: str) -> StreamingConnection:
    """Open a connection; raises TargetUnavailable when nobody answers as expected."""
    password = address.url.password or ""
    try:
        return StreamingConnection(
            **address.connect,
            password=str(password).encode(),
            charset="utf8mb4",
            autocommit=True,
            local_infile=address.local_infile,
            connect_timeout=_CONNECT_TIMEOUT_SECONDS,
        )
    except err.Error as error:
        raise TargetUnavailable(f"database {name!r} is not reachable: {told(error)}") from error
    except OSError as error:
        raise ConfigError(f"databases.{name}.url: a file of ssl_… cannot be read") from error
    except RuntimeError as error:  # PyMySQL's word for a missing package
        raise TargetUnavailable(
            f"database {name!r} wants a password over TLS: use ssl_mode=required"
        ) from error


def _tls(options: Mapping[str, str], setting: str) -> dict[str, Any]:
    files = {name: options[name] for name in ("ssl_ca", "ssl_cert", "ssl_key") if name in options}
    default = "verify_ca" if "ssl_ca" in files else "preferred"
    chosen: Mapping[str, Any] = _choice(options, "ssl_mode", _SSL, default, setting)
    return {**files, **chosen}


def _choice(
    options: Mapping[str, str],
    option: str,
    among: Mapping[str, T],
    default: str,
    setting: str,
) -> T:
    given = options.get(option, default)
    if given not in among:
        raise ConfigError(f"{setting}: {option} must be one of {', '.join(among)}")
    return among[given]


def _single(value: str | tuple[str, ...], option: str, setting: str) -> str:
    if isinstance(value, tuple):
        raise ConfigError(f"{setting}: option {option!r} is given twice")
    return value
