"""``python -m tests.chaos --seed N``: events, kills, an audit; exit 1 when it finds anything."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jobu_core.clock import SystemClock
from jobu_core.dispatcher.cron.edit import add_job, set_enabled
from jobu_core.errors import Outage
from jobu_core.services.layout import layout_of
from jobu_core.services.runtime import open_runtime
from tests.chaos.killer import Killer
from tests.chaos.traffic import Traffic
from tests.chaos.verdict import Counts, come_to_rest, findings
from tests.chaos.world import World, chaos_world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from jobu_core.services.runtime import Runtime

_CLOCK = SystemClock()
_CRON_JOBS = ("skip", "queue_all", "allow", "queue_one")
_REST_SECONDS = 180.0
_RUN_SECONDS = 240.0
_STORE_SECONDS = 60.0
_WHO = "chaos"


def main() -> int:
    """Run once with the seed of the command line."""
    asked = argparse.ArgumentParser(prog="chaos", description=__doc__)
    asked.add_argument("--seed", type=int, default=1, help="repeats traffic and kills")
    asked.add_argument("--events", type=int, default=10_000)
    asked.add_argument("--seconds", type=float, default=300.0, help="of killing")
    given = asked.parse_args()
    signal.signal(signal.SIGTERM, _leave)  # so that everything started is ended
    with chaos_world() as world:
        wrong = _run(world, given.seed, given.events, given.seconds)
        if wrong:
            logs = Path(tempfile.mkdtemp(prefix="jobu-chaos-logs-"))
            shutil.copytree(layout_of(world.settings).logs, logs, dirs_exist_ok=True)
            _say(f"logs of the run: {logs}")
        return wrong


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(1)


def _run(world: World, seed: int, events: int, seconds: float) -> int:
    with open_runtime(world.settings, application_name="chaos") as runtime:
        traffic = Traffic(world.broker.bootstrap, events, seconds * 0.9, seed)
        killer = Killer(world, seed)
        with _cron_jobs(runtime):
            traffic.start()
            started = time.monotonic()
            killer.run(seconds, threading.Event())
            traffic.join()
        _say(f"seed {seed}: killed {dict(sorted(killer.kills.items()))} in {seconds:.0f} s")
        sent = traffic.sent
        _say(f"sent {len(sent.good)} good events ({sent.loads} loads), {len(sent.bad)} bad ones")
        rested = come_to_rest(runtime.engine, sent, _REST_SECONDS, _Progress())
        _say(f"at rest {time.monotonic() - started:.0f} s after the first event: {rested}")
        wrong = findings(world, runtime.engine, sent, _RUN_SECONDS)
    for line in wrong[:50]:
        _say(f"  {line}")
    lost = sum("is None" in line for line in wrong)
    stuck = sum("not ended" in line or "for ever" in line for line in wrong)
    others = len(wrong) - lost - stuck
    _say(f"seed {seed}: lost {lost}, stuck {stuck}, duplicate or otherwise wrong {others}")
    return 1 if wrong else 0


@contextmanager
def _cron_jobs(runtime: Runtime) -> Iterator[None]:
    """Let one job per overlap policy run every minute while the killing lasts."""
    settings = runtime.settings.dispatcher
    for policy in _CRON_JOBS:
        values = {
            "name": f"chaos_{policy}",
            "cron_expression": "* * * * *",
            "handler_name": "sample_handler",
            "overlap_policy": policy,
            "misfire_policy": "all",
        }
        add_job(runtime.engine, runtime.registry, settings, values, who=_WHO)
    yield
    for policy in _CRON_JOBS:
        _disable(runtime, f"chaos_{policy}")


def _disable(runtime: Runtime, job: str) -> None:
    """Disable a job as soon as the store, killed a moment ago, answers."""
    known = runtime.settings.dispatcher
    until = time.monotonic() + _STORE_SECONDS
    while True:
        try:
            set_enabled(runtime.engine, runtime.registry, known, job, enabled=False, who=_WHO)
        except Outage:
            if time.monotonic() > until:
                raise
            _CLOCK.sleep(1)
        else:
            return


class _Progress:
    """Tells how far it is, at most every 15 seconds."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, counts: Counts) -> None:
        """Print one line when it is time."""
        if time.monotonic() >= self._next:
            _say(f"  {counts}")
            self._next = time.monotonic() + 15


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
