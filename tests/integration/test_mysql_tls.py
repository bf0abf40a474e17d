"""TLS to a real MariaDB: each ``ssl_mode`` insists on what it says, and on no less."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobu_core.errors import TargetUnavailable
from jobu_core.pipeline.load.mysql.session import open_session

if TYPE_CHECKING:
    from tests.fix_mariadb import MariaDB, SecureMariaDB


def cipher(url: str) -> str:
    """Return what the connection is encrypted with; empty: it is not."""
    with open_session(url, "w") as session:
        ((_, used),) = session.rows("SHOW STATUS LIKE 'Ssl_cipher'")
        return str(used)


@pytest.mark.parametrize(
    ("host", "options"),
    [
        ("127.0.0.1", ""),
        ("127.0.0.1", "ssl_mode=required"),
        ("127.0.0.1", "ssl_ca={ca}"),
        ("127.0.0.1", "ssl_mode=verify_ca&ssl_ca={ca}"),
        ("localhost", "ssl_mode=verify_identity&ssl_ca={ca}"),
    ],
)
def test_a_connection_is_encrypted(secure_mariadb: SecureMariaDB, host: str, options: str) -> None:
    """Also when nothing is said, where the server offers it."""
    assert cipher(secure_mariadb.url(host, options.format(ca=secure_mariadb.certificate)))


@pytest.mark.parametrize(
    ("host", "options", "told"),
    [
        ("127.0.0.1", "ssl_mode=disabled", "Access denied"),
        ("127.0.0.1", "ssl_mode=verify_ca", "certificate verify failed"),
        ("localhost", "ssl_mode=verify_identity", "certificate verify failed"),
        ("127.0.0.1", "ssl_mode=verify_identity&ssl_ca={ca}", "IP address mismatch"),
    ],
)
def test_a_server_that_cannot_prove_itself_gets_no_password(
    secure_mariadb: SecureMariaDB, host: str, options: str, told: str
) -> None:
    """An unknown certificate, or one for another host."""
    with pytest.raises(TargetUnavailable, match=told) as caught:
        cipher(secure_mariadb.url(host, options.format(ca=secure_mariadb.certificate)))
    assert "p@ss" not in str(caught.value)


@pytest.mark.parametrize("mode", ["required", "verify_ca", "verify_identity"])
def test_tls_that_is_wanted_is_never_done_without(mariadb: MariaDB, mode: str) -> None:
    """A server, or somebody in between, that offers none is refused."""
    with pytest.raises(TargetUnavailable, match="SSL is required"):
        cipher(mariadb.url("mysql", options=f"&ssl_mode={mode}"))
    assert cipher(mariadb.url("mysql", options="&ssl_mode=preferred")) == ""
