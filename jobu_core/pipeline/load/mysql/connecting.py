"""``mysql://`` URLs: what they may say, and the connection that they mean."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from enum import StrEnum
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

_CONNECT_TIMEOUT_SECONDS: Final = 5.0
_LONGEST_SECONDS: Final = 86_400.0
_DEFAULT_PORT: Final = 3306
_TIMEOUTS: Final = ("connect_timeout", "read_timeout", "write_timeout")
_FILES: Final = ("ssl_ca", "ssl_cert", "ssl_key")
_OPTIONS: Final = ("unix_socket", "local_infile", "charset", "ssl_mode", *_FILES, *_TIMEOUTS)
_BOOLEANS: Final = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}
_CHARSETS: Final = {"utf8mb4": "utf8mb4"}
"""What loads speak; columns may have other character sets."""
_ENCODE: Final = (
    "write special characters of user and password as %40 for @, %2F for /, %3A for :, %25 for %"
)


class SslMode(StrEnum):
    """How far a server must prove who it is; the words are those of MySQL's own clients."""

    DISABLED = "disabled"
    PREFERRED = "preferred"
    """TLS where the server offers it, unverified; without TLS where it does not."""
    REQUIRED = "required"
    """TLS, whoever the server is."""
    VERIFY_CA = "verify_ca"
    VERIFY_IDENTITY = "verify_identity"
    """Its certificate must be valid for the host of the URL, too."""


_VERIFYING: Final = frozenset({SslMode.VERIFY_CA, SslMode.VERIFY_IDENTITY})
_MODES: Final = {mode.value: mode for mode in SslMode}


@dataclass(frozen=True, slots=True)
class Tls:
    """How the connection is encrypted."""

    mode: SslMode
    ca: str | None = None
    """File of certificates that are trusted; None: those of the system."""
    cert: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """What a ``mysql://`` URL says."""

    url: URL
    database: str
    local_infile: bool
    """Whether LOAD DATA LOCAL may be used where the server allows it."""
    tls: Tls
    connect: Mapping[str, Any]
    """Keyword arguments of PyMySQL's connection, without password and TLS."""


def read_url(url: str, name: str) -> Address:
    """Read the URL of database ``name``; raises ConfigError, never with the URL in it."""
    setting = f"databases.{name}.url"
    try:
        parsed = make_url(url)
        port = parsed.port or _DEFAULT_PORT
    except (ArgumentError, ValueError):
        raise ConfigError(
            f"{setting} is not a URL of the form mysql://user:password@host:3306/database; "
            f"{_ENCODE}"
        ) from None
    if "@" in (parsed.host or ""):  # half a password would be taken for a host and be shown
        raise ConfigError(f"{setting}: {_ENCODE}")
    if not parsed.database:
        raise ConfigError(f"{setting} names no database; loads keep their manifest there")
    for option in parsed.query:
        if option not in _OPTIONS:
            raise ConfigError(f"{setting}: unknown option {option!r}{suggest(option, _OPTIONS)}")
    options = {option: _single(value, option, setting) for option, value in parsed.query.items()}
    socket = options.get("unix_socket")
    connect: dict[str, Any] = {"user": parsed.username, "database": parsed.database}
    connect |= {"unix_socket": socket} if socket else {"host": parsed.host, "port": port}
    connect["charset"] = _choice(options, "charset", _CHARSETS, "utf8mb4", setting)
    connect["connect_timeout"] = _CONNECT_TIMEOUT_SECONDS
    connect |= {each: _seconds(options, each, setting) for each in _TIMEOUTS if each in options}
    return Address(
        parsed,
        parsed.database,
        _choice(options, "local_infile", _BOOLEANS, "1", setting),
        _tls(options, setting),
        connect,
    )


def connect(address: Address, name: str) -> StreamingConnection:
    """Open a connection; raises TargetUnavailable when nobody answers as expected.

    Raises ConfigError when a file of the TLS options cannot be read.
    """
    password = address.url.password or ""
    tls = _tls_arguments(address.tls, name)
    try:
        return StreamingConnection(
            **address.connect,
            **tls,
            password=str(password).encode(),
            autocommit=True,
            local_infile=address.local_infile,
        )
    except err.Error as error:
        raise TargetUnavailable(f"database {name!r} is not reachable: {told(error)}") from error
    except RuntimeError as error:  # PyMySQL's word for a missing package
        raise TargetUnavailable(
            f"database {name!r} wants a password over TLS: use ssl_mode=required"
        ) from error


def _tls(options: Mapping[str, str], setting: str) -> Tls:
    """Return what the URL says of TLS; raises ConfigError for a file that would not be used."""
    default = SslMode.VERIFY_CA if "ssl_ca" in options else SslMode.PREFERRED
    mode = _choice(options, "ssl_mode", _MODES, default.value, setting)
    if "ssl_ca" in options and mode not in _VERIFYING:
        raise ConfigError(f"{setting}: ssl_ca needs ssl_mode verify_ca or verify_identity")
    if ("ssl_cert" in options) != ("ssl_key" in options):
        raise ConfigError(f"{setting}: ssl_cert and ssl_key are given together or not at all")
    if "ssl_cert" in options and mode in {SslMode.DISABLED, SslMode.PREFERRED}:
        raise ConfigError(
            f"{setting}: ssl_cert needs ssl_mode required, verify_ca or verify_identity"
        )
    return Tls(mode, *(options.get(name) for name in _FILES))


def _tls_arguments(tls: Tls, name: str) -> dict[str, Any]:
    """Return PyMySQL's arguments.

    Its own options for files and checks are not used: without a file of certificates
    it neither insists on TLS nor looks at the host's name.
    """
    if tls.mode is SslMode.DISABLED:
        return {"ssl_disabled": True}
    if tls.mode is SslMode.PREFERRED:
        return {}
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        if tls.cert is not None:
            context.load_cert_chain(tls.cert, tls.key)
    except OSError as error:
        raise ConfigError(
            f"databases.{name}.url: a file of ssl_ca, ssl_cert or ssl_key cannot be used: "
            f"{error.strerror or 'it holds no certificate or key in PEM'}"
        ) from None
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # certificates of MySQL's own fail it
    context.check_hostname = tls.mode is SslMode.VERIFY_IDENTITY
    if tls.mode not in _VERIFYING:
        context.verify_mode = ssl.CERT_NONE
    return {"ssl": context}


def _seconds(options: Mapping[str, str], option: str, setting: str) -> float:
    try:
        seconds = float(options[option])
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST_SECONDS:  # NaN neither
        raise ConfigError(f"{setting}: {option} must be a number of seconds above 0")
    return seconds


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
