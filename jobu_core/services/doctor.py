"""``jobu doctor``: is everything connected, alive and of one version; starts nothing.

Each check is one finding: what was looked at, what was found, what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from jobu_core.config import Stack
from jobu_core.dispatcher.queue.adapter.kafka import KafkaAdapter
from jobu_core.errors import JobuError
from jobu_core.handlers.registry import Registry, load_registry
from jobu_core.pipeline.load.engine import examine_target
from jobu_core.pipeline.load.health import Wanted
from jobu_core.pipeline.load.identifiers import STORE_DATABASE, parse_table
from jobu_core.pipeline.load.request import Mode
from jobu_core.pipeline.places.bucket_check import check_bucket
from jobu_core.pipeline.places.buckets import Buckets
from jobu_core.services import compose, foreground
from jobu_core.services.endpoints import endpoints, without_password
from jobu_core.services.layout import layout_of
from jobu_core.services.orphans import daemon_pids
from jobu_core.services.probes import broker_answers
from jobu_core.services.runtime import target_url
from jobu_core.services.supervisord import ProgramState, Supervisord
from jobu_core.store import diagnosis, launches, workers
from jobu_core.store.engine import open_engine, transaction
from jobu_core.store.migrate import current_revision, head_revision
from jobu_core.store.positions import read_positions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import sqlalchemy as sa

    from jobu_core.config import Settings
    from jobu_core.dispatcher.queue.adapter.base import Watermarks
    from jobu_core.models import Position
    from jobu_core.pipeline.places.s3_client import BucketClient

_LOST_LAUNCHES: Final = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    check: str
    ok: bool
    found: str
    advice: str = ""


def examine(settings: Settings, *, write_buckets: bool = False) -> list[Finding]:
    """Run every check; one that cannot run is a finding, not an error.

    ``write_buckets`` puts a small object into each folder of each bucket.
    """
    registry: list[Registry] = []
    found = [
        _guarded("handlers", "correct config/handlers.yaml", lambda: _handlers(settings, registry)),
        _guarded("programs", "see jobu status", lambda: _programs(settings)),
        _guarded(
            "broker",
            _start(settings, "start it, or correct worker.broker_url"),
            lambda: _broker(settings),
        ),
        _guarded("daemons", "stop all but one", lambda: _daemons(settings)),
        *_bucket_findings(settings, write=write_buckets),
    ]
    found += _store_findings(settings, registry[0] if registry else None)
    for name in settings.databases:
        if name != STORE_DATABASE:
            found += _target(settings, name)
    return found


def _bucket_findings(settings: Settings, *, write: bool) -> Iterator[Finding]:
    for name, client in Buckets(settings.s3_buckets).clients.items():
        check = f"bucket {name}"

        def look(check: str = check, client: BucketClient = client) -> Finding:
            return Finding(check, True, check_bucket(client, write=write))

        yield _guarded(check, "correct s3_buckets in config/handlers.yaml", look)


def _target(settings: Settings, name: str) -> list[Finding]:
    """Look at one load target and at the tables that datasets load there."""
    check = f"target {name}"
    try:
        health = examine_target(target_url(settings, name), name, _wanted(settings, name))
    except JobuError as error:
        return [Finding(check, False, str(error), f"start it, or correct databases.{name}.url")]
    problems = [Finding(check, False, each.found, each.advice) for each in health.problems]
    return problems or [Finding(check, True, health.facts)]


def _wanted(settings: Settings, database: str) -> list[Wanted]:
    datasets = settings.datasets.values()
    found = [Wanted(parse_table(each.target), Mode(each.mode)) for each in datasets]
    return [each for each in found if each.table.database == database]


def _store_findings(settings: Settings, registry: Registry | None) -> Iterator[Finding]:
    start = _start(
        settings,
        "`jobu up` starts the embedded one; else correct databases.default.url",
    )
    try:
        engine = open_engine(endpoints(settings).database_url, application_name="jobu-doctor")
    except JobuError as error:
        yield Finding("job store", False, str(error), start)
        return
    try:
        store = _guarded("job store", start, lambda: _store(settings, engine))
        yield store
        if not store.ok:
            return
        revision = _guarded("schema", "run `jobu migrate`", lambda: _schema(engine))
        yield revision
        yield _guarded("clock", "correct the clocks (NTP)", lambda: _clock(settings, engine))
        if not revision.ok:
            return
        if registry is not None:
            yield _guarded("workers", "", lambda: _workers(settings, engine, registry))
        yield _guarded("launches", "see the worker's log", lambda: _launches(engine))
        yield _guarded(
            "kafka",
            _start(settings, "start it, or correct queue_dispatcher.kafka_bootstrap_servers"),
            lambda: _kafka(settings, engine),
        )
    finally:
        engine.dispose()


def _start(settings: Settings, elsewhere: str) -> str:
    """Return how a service is started in the compose stack, or what holds elsewhere."""
    return f"start it: `{compose.UP}`" if settings.stack is Stack.COMPOSE else elsewhere


def _guarded(check: str, advice: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except JobuError as error:
        return Finding(check, False, str(error), advice)


def _handlers(settings: Settings, into: list[Registry]) -> Finding:
    registry = load_registry(settings.handlers, settings.datasets, root=settings.root)
    into.append(registry)
    return Finding("handlers", True, f"{len(registry.names)}, code {registry.code_version}")


def _programs(settings: Settings) -> Finding:
    infos = Supervisord(layout_of(settings)).all()
    bad = {ProgramState.FATAL, ProgramState.BACKOFF}
    failing = [each.name for each in infos if each.state in bad]
    if failing:
        logs = ", ".join(f".jobu/log/{name}.log" for name in failing)
        return Finding("programs", False, f"{', '.join(failing)} cannot start", f"see {logs}")
    running = [each.name for each in infos if each.state is ProgramState.RUNNING]
    return Finding("programs", True, ", ".join(running) or "none in the background")


def _broker(settings: Settings) -> Finding:
    url = endpoints(settings).broker_url
    broker_answers(url)
    return Finding("broker", True, without_password(url))


def _daemons(settings: Settings) -> Finding:
    pids = daemon_pids(settings.root)
    if len(pids) > 1:
        return Finding(
            "daemons",
            False,
            f"{len(pids)} Dagster daemons run for this project: pids {pids}",
            "rows are safe, runs may be started twice and superseded; stop all but one",
        )
    if not pids and settings.stack is Stack.EMBEDDED:
        needless = foreground.runs(layout_of(settings), "queue_dispatcher")
        advice = "" if needless else "cron schedules do not tick: `jobu up` or main.py dispatcher"
        return Finding("daemons", needless, "no Dagster daemon here", advice)
    return Finding("daemons", True, f"{len(pids)} on this machine")


def _store(settings: Settings, engine: sa.Engine) -> Finding:
    with transaction(engine) as connection:
        diagnosis.database_time(connection)
    return Finding("job store", True, without_password(endpoints(settings).database_url))


def _schema(engine: sa.Engine) -> Finding:
    with transaction(engine) as connection:
        revision = current_revision(connection)
    head = head_revision()
    if revision != head:
        return Finding("schema", False, f"at {revision}, jobu needs {head}", "run `jobu migrate`")
    return Finding("schema", True, f"revision {head}")


def _clock(settings: Settings, engine: sa.Engine) -> Finding:
    with transaction(engine) as connection:
        before = datetime.now(UTC)
        theirs = diagnosis.database_time(connection)
        after = datetime.now(UTC)
    ours = before + (after - before) / 2
    skew = (theirs - ours).total_seconds()
    allowed = settings.dispatcher.max_clock_skew_seconds
    found = f"the database is {abs(skew):.3f} s {'ahead' if skew > 0 else 'behind'}"
    return Finding("clock", abs(skew) <= allowed, found, "correct the clocks (NTP)")


def _workers(settings: Settings, engine: sa.Engine, registry: Registry) -> Finding:
    lease = settings.worker.lease_seconds
    with transaction(engine) as connection:
        live = workers.live_versions(connection, lease_seconds=lease)
        capacity = launches.read_capacity(
            connection,
            scope=launches.Scope(registry.names),
            code_version=registry.code_version,
            lease_seconds=lease,
        )
    found = (
        f"{capacity.live_slots} slots of this code version, {capacity.other_slots} of others;"
        f" {capacity.due} due, {capacity.in_flight} in flight"
    )
    if capacity.live_slots:
        return Finding("workers", True, found)
    if live:
        advice = "workers of another code version drain and restart; a foreign one must be updated"
    else:
        advice = "start one: `jobu up`, or `python main.py worker`"
    return Finding("workers", False, found, advice)


def _launches(engine: sa.Engine) -> Finding:
    with transaction(engine) as connection:
        lost = diagnosis.often_relaunched(connection, least=_LOST_LAUNCHES)
    if lost:
        ids = ", ".join(str(each) for each in lost)
        return Finding("launches", False, f"lost again and again: {ids}", "see the worker's log")
    return Finding("launches", True, "none lost repeatedly")


def _kafka(settings: Settings, engine: sa.Engine) -> Finding:
    queue = settings.queue_dispatcher
    with transaction(engine) as connection:
        stored = read_positions(connection, queue.kafka_group_id, queue.kafka_topic)
    adapter = KafkaAdapter(
        queue.kafka_bootstrap_servers,
        queue.kafka_topic,
        queue.kafka_group_id,
        settings.kafka.client,
    )
    with adapter:
        partitions = adapter.partitions()
        if not partitions:
            advice = "create the topic, or correct queue_dispatcher.kafka_topic"
            return Finding("kafka", False, f"no topic {queue.kafka_topic}", advice)
        marks = {number: adapter.watermarks(number) for number in partitions}
    lost, lag = _compare(stored, marks)
    if lost:
        advice = "the topic was made again or expired: see queue_dispatcher.on_recreate"
        return Finding("kafka", False, "; ".join(lost), advice)
    found = f"{queue.kafka_topic}: {len(partitions)} partitions, {lag} messages behind"
    return Finding("kafka", True, found)


def _compare(
    stored: Sequence[Position],
    marks: Mapping[int, Watermarks],
) -> tuple[list[str], int]:
    """Return what positions and offsets contradict each other in, and the lag."""
    problems: list[str] = []
    lag = 0
    for position in stored:
        mark = marks.get(position.partition)
        if mark is None or position.next_offset > mark.high:
            problems.append(f"partition {position.partition}: position after the end")
        elif position.next_offset < mark.low:
            problems.append(f"partition {position.partition}: messages lost before being read")
        else:
            lag += mark.high - position.next_offset
    return problems, lag
