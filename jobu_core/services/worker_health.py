"""Does a worker of this host live: ``python -m jobu_core.services.worker_health``.

The health check of a worker's container, whose host name is its own. It asks the job
store, as launches do, and not Celery: a worker whose supervisor is silent gets no work.
"""

from __future__ import annotations

import socket
import sys

from jobu_core.config import load_settings
from jobu_core.errors import JobuError
from jobu_core.services.endpoints import endpoints
from jobu_core.store import workers
from jobu_core.store.engine import open_engine, transaction


def lives(host: str) -> bool:
    """Say whether a worker of ``host`` has a fresh heartbeat; raises JobuError."""
    settings = load_settings()
    url = endpoints(settings).database_url
    engine = open_engine(url, application_name="jobu-worker-health", pool_size=1)
    try:
        with transaction(engine) as connection:
            return workers.lives_on(
                connection,
                host,
                lease_seconds=settings.worker.lease_seconds,
            )
    finally:
        engine.dispose()


def main() -> int:
    """Exit code 0 when it lives, 1 otherwise, with one line of why."""
    host = socket.gethostname()
    try:
        if lives(host):
            return 0
        said = f"no worker of {host} has a fresh heartbeat"
    except JobuError as error:
        said = str(error)
    sys.stderr.write(f"jobu: {said}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
