"""Questions to a running stack: does each part do its work yet."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jobu_core.services.ports import Address
from jobu_core.store import workers
from jobu_core.store.engine import transaction

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import sqlalchemy as sa

    from jobu_core.config import Settings

_ASK_SECONDS: Final = 10.0
_OK: Final = 200
_QUERY: Final = """{
  instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } }
  workspaceOrError { ... on Workspace { locationEntries {
    name loadStatus locationOrLoadError { __typename ... on PythonError { message } }
  } } }
}"""


@dataclass(frozen=True, slots=True)
class DagsterHealth:
    """What the web server says of the daemon and the code location."""

    daemons_waiting: tuple[str, ...]
    """Required daemons without a fresh heartbeat."""
    locations_waiting: tuple[str, ...]
    """Code locations that have not loaded yet."""
    load_error: str | None
    """Why a code location cannot be loaded, or None."""

    @property
    def complete(self) -> bool:
        """Whether everything is loaded and every required daemon beats."""
        return not (self.daemons_waiting or self.locations_waiting or self.load_error)


def socket_answers(path: Path) -> bool:
    """Say whether somebody listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        return probe.connect_ex(str(path)) == 0


def ask_dagster(settings: Settings) -> DagsterHealth | None:
    """Ask the web server about daemon and definitions; None while it does not answer."""
    where = web_address(settings)
    connection = http.client.HTTPConnection(where.host, where.port, timeout=_ASK_SECONDS)
    try:
        body = json.dumps({"query": _QUERY})
        connection.request("POST", "/graphql", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != _OK:
            return None
        return _read(json.loads(response.read())["data"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()


def web_address(settings: Settings) -> Address:
    """Return where to reach the web server from this machine."""
    host = settings.admin.dagster_host
    anywhere = host in {"", "0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    return Address("127.0.0.1" if anywhere else host, settings.admin.dagster_port)


def worker_beats(engine: sa.Engine, main_pid: int) -> bool:
    """Say whether the worker with this main process has reported a heartbeat here."""
    host = socket.gethostname()
    with transaction(engine) as connection:
        found = workers.list_workers(connection)
    return any(each.main_pid == main_pid and each.host == host for each in found)


def _read(data: Mapping[str, Any]) -> DagsterHealth:
    daemons = data["instance"]["daemonHealth"]["allDaemonStatuses"]
    entries = data["workspaceOrError"]["locationEntries"]
    errors = [
        entry["locationOrLoadError"]["message"]
        for entry in entries
        if (entry["locationOrLoadError"] or {}).get("__typename") == "PythonError"
    ]
    return DagsterHealth(
        daemons_waiting=tuple(
            each["daemonType"] for each in daemons if each["required"] and not each["healthy"]
        ),
        locations_waiting=tuple(each["name"] for each in entries if each["loadStatus"] != "LOADED"),
        load_error=errors[0] if errors else None,
    )
