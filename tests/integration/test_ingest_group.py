"""Group mode on a real Kafka: members share the partitions, and each message is written once."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from jobu_core.config import KafkaSettings
from jobu_core.dispatcher.queue.adapter import kafka_group
from jobu_core.dispatcher.queue.adapter.base import OutgoingMessage
from jobu_core.dispatcher.queue.adapter.kafka_group import KafkaGroupAdapter
from jobu_core.dispatcher.queue.adapter.reader import make_reader
from jobu_core.errors import Outage, PositionMoved
from tests.crash.audit import violations
from tests.fix_events import Events, event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobu_core.dispatcher.queue.adapter.base import BaseQueueAdapter
    from jobu_core.dispatcher.queue.ingest import Ingest
    from tests.fix_kafka import KafkaServer

pytestmark = pytest.mark.kafka

_DEADLINE = 30.0
_LIVELY = {"heartbeat.interval.ms": 200}
"""A member hears soon that others come or go."""

_QUICK = {**_LIVELY, "session.timeout.ms": 1500, "max.poll.interval.ms": 1500}
"""A member that stops polling is given up after a second and a half."""


@dataclass
class GroupEvents(Events):
    """A topic of four partitions that the members of one group share."""

    bootstrap: str = ""
    group: str = ""

    def adapter(self) -> BaseQueueAdapter:
        """Return the adapter that the configuration asks for."""
        return make_reader(self.settings, self.bootstrap)

    def with_client(self, client: dict[str, Any]) -> GroupEvents:
        """Return the same with further settings of the client."""
        kafka = KafkaSettings(client=client)
        settings = self.settings.model_copy(update={"kafka": kafka})
        return GroupEvents(
            self.engine,
            settings,
            topic=self.topic,
            bootstrap=self.bootstrap,
            group=self.group,
        )


@pytest.fixture
def shared(events: Events, real_kafka: KafkaServer) -> GroupEvents:
    """Return a fresh topic with a group of its own."""
    topic = f"shared-{uuid.uuid4().hex[:8]}"
    real_kafka.create_topic(topic, 4)
    group = f"group-{topic}"
    base = events.configured(kafka_topic=topic, kafka_group_id=group, mode="group")
    made = GroupEvents(
        base.engine,
        base.settings,
        topic=topic,
        bootstrap=real_kafka.bootstrap,
        group=group,
    )
    return made.with_client(_LIVELY)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Close the members of a test at its end."""
    with ExitStack() as opened:
        yield opened


def member_of(ingest: Ingest) -> KafkaGroupAdapter:
    """Return the adapter of a member."""
    adapter = ingest._adapter
    assert isinstance(adapter, KafkaGroupAdapter)
    return adapter


def reading(ingest: Ingest) -> set[int]:
    """Return the partitions that a member reads."""
    member = member_of(ingest)._membership
    return set(member.reading) if member is not None else set()


def until(condition: Callable[[], bool], *members: Ingest) -> None:
    """Tick the members in turn until the condition holds."""
    deadline = time.monotonic() + _DEADLINE
    while not condition():
        assert time.monotonic() < deadline, [reading(each) for each in members]
        for each in members:
            each.tick(0.3)


def balanced(shared: GroupEvents, stack: ExitStack) -> tuple[Ingest, Ingest]:
    """Return two members that read two partitions each."""
    first = stack.enter_context(shared.ingest())
    until(lambda: len(reading(first)) == 4, first)
    second = stack.enter_context(shared.ingest())
    until(lambda: len(reading(first)) == len(reading(second)) == 2, first, second)
    assert reading(first) | reading(second) == {0, 1, 2, 3}
    return first, second


def send_numbers(events: GroupEvents, numbers: range) -> None:
    """Spread numbered events over the partitions."""
    messages = [
        OutgoingMessage(event(params={"n": number}), partition=number % 4) for number in numbers
    ]
    events.adapter().publish(events.topic, messages)


def numbers(events: GroupEvents) -> list[int]:
    """Return the numbers of the executions, sorted."""
    return sorted(int(each["n"]) for each in events.params())


def consistent(events: GroupEvents) -> bool:
    """Return whether nothing was lost or doubled."""
    with events.engine.begin() as connection:
        return violations(connection) == []


def test_one_member_reads_everything(shared: GroupEvents) -> None:
    """Without the lock, from the table's positions, with the group told what was written."""
    send_numbers(shared, range(20))
    with shared.ingest() as ingest:
        until(lambda: shared.ledger() == 20, ingest)
        until(lambda: member_of(ingest).committed() == dict.fromkeys(range(4), 5), ingest)
    assert numbers(shared) == list(range(20))


def test_members_share_the_partitions(shared: GroupEvents, stack: ExitStack) -> None:
    """Both read at the same time, each its own, and together everything once."""
    first, second = balanced(shared, stack)
    send_numbers(shared, range(40))
    seen: dict[int, int] = {0: 0, 1: 0}
    deadline = time.monotonic() + _DEADLINE
    while shared.ledger() < 40:
        assert time.monotonic() < deadline
        for index, each in enumerate((first, second)):
            seen[index] += each.tick(0.3).consumed
    assert seen == {0: 20, 1: 20}
    assert numbers(shared) == list(range(40))
    assert consistent(shared)


def test_a_member_that_leaves_hands_over_where_the_table_stands(
    shared: GroupEvents,
    stack: ExitStack,
) -> None:
    """The rest of its partitions is read by the other one, nothing twice."""
    first, second = balanced(shared, stack)
    send_numbers(shared, range(20))
    until(lambda: shared.ledger() == 20, first, second)
    second.close()
    send_numbers(shared, range(20, 40))
    until(lambda: shared.ledger() == 40, first)
    assert reading(first) == {0, 1, 2, 3}
    assert numbers(shared) == list(range(40))
    assert shared.gaps() == []


def test_a_member_beyond_the_number_of_partitions_stands_by(
    shared: GroupEvents,
    real_kafka: KafkaServer,
    stack: ExitStack,
) -> None:
    """It says so, and takes over when another one leaves."""
    topic = f"single-{uuid.uuid4().hex[:8]}"
    real_kafka.create_topic(topic, 1)
    settings = shared.configured(kafka_topic=topic).settings
    single = GroupEvents(shared.engine, settings, topic=topic, bootstrap=shared.bootstrap)
    first = stack.enter_context(single.ingest())
    until(lambda: reading(first) == {0}, first)
    second = stack.enter_context(single.ingest())
    assert "standing by: the group has given no partition" in second.tick(0.5).messages[-1]
    first.close()
    until(lambda: reading(second) == {0}, second)


def fetch_while_joining(adapter: KafkaGroupAdapter, newcomer: Ingest) -> None:
    """Fetch, and drop what comes, while another member takes its share."""
    deadline = time.monotonic() + _DEADLINE
    while time.monotonic() < deadline:
        newcomer.tick(0.2)
        adapter.fetch(10, 0.2)


def test_partitions_that_are_revoked_between_fetch_and_write_are_written_once(
    shared: GroupEvents,
    stack: ExitStack,
) -> None:
    """What was fetched and not written is dropped; the next owner reads it from the table."""
    first = stack.enter_context(shared.ingest())
    until(lambda: len(reading(first)) == 4, first)
    send_numbers(shared, range(40))
    adapter = member_of(first)
    while not adapter.fetch(10, 1.0):  # fetched, and never written
        pass
    second = stack.enter_context(shared.ingest())
    with pytest.raises(PositionMoved, match="the group has moved partitions"):
        fetch_while_joining(adapter, second)
    first._forget()
    until(lambda: shared.ledger() == 40, first, second)
    assert numbers(shared) == list(range(40))
    assert consistent(shared)


def test_a_member_that_the_group_gave_up_writes_nothing_of_what_it_held(
    shared: GroupEvents,
    stack: ExitStack,
) -> None:
    """Lost, not revoked: another one has read on; the fence and the table settle it."""
    quick = shared.with_client(_QUICK)
    slow, other = balanced(quick, stack)
    held = reading(slow)
    send_numbers(quick, range(40))
    deadline = time.monotonic() + _DEADLINE
    while quick.ledger() < 40:  # the slow one does not tick: it is given up
        assert time.monotonic() < deadline
        other.tick(0.3)
    assert reading(slow) == held
    until(lambda: len(reading(slow)) == len(reading(other)) == 2, slow, other)
    assert numbers(quick) == list(range(40))
    assert consistent(quick)


def test_a_late_commit_of_a_member_that_was_given_up_is_no_error(
    shared: GroupEvents,
    stack: ExitStack,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its generation is over: the new owner has committed what the table says."""
    quick = shared.with_client(_QUICK)
    slow, other = balanced(quick, stack)
    send_numbers(quick, range(40))
    until(lambda: quick.ledger() == 40, other)
    late = member_of(slow)
    late.commit(dict.fromkeys(reading(slow), 1))
    until(lambda: len(reading(slow)) == 2, slow, other)
    until(lambda: other_committed(other) == dict.fromkeys(range(4), 10), slow, other)
    stack.close()  # which waits for the answer to what was committed
    assert "offsets not committed" not in caplog.text


def other_committed(ingest: Ingest) -> dict[int, int]:
    """Return what the group has committed."""
    return dict(member_of(ingest).committed())


@pytest.mark.long
def test_members_come_and_go_under_load(shared: GroupEvents) -> None:
    """Three processes' worth of threads, opened and closed at random moments: all once."""
    total, stop = 200, threading.Event()
    shared.settings = shared.configured(ingest_batch=5, kafka_max_poll_records=3).settings
    shared = shared.with_client(_QUICK)
    failures: list[BaseException] = []

    def work(pause: int) -> None:
        try:
            while not stop.is_set():
                with shared.ingest() as ingest:
                    for _ in range(pause):
                        with contextlib.suppress(Outage):
                            ingest.tick(0.2)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    members = [threading.Thread(target=work, args=(pause,)) for pause in (7, 11, 60)]
    for member in members:
        member.start()
    send_numbers(shared, range(total))
    deadline = time.monotonic() + _DEADLINE
    while shared.ledger() < total and time.monotonic() < deadline and not failures:
        stop.wait(0.2)
    stop.set()
    for member in members:
        member.join()
    assert failures == []
    assert numbers(shared) == list(range(total))
    assert consistent(shared)


def test_a_paused_member_stays_in_the_group(
    shared: GroupEvents,
    stack: ExitStack,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Back-pressure must not look like death: it rests longer than the group's patience."""
    quick = shared.with_client(_QUICK)
    quick.settings = quick.configured(max_pending=2).settings
    ingest = stack.enter_context(quick.ingest())
    until(lambda: len(reading(ingest)) == 4, ingest)
    send_numbers(quick, range(8))
    until(lambda: quick.ledger() == 2, ingest)
    joined = member_of(ingest)._membership
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        assert "paused" in ingest.tick(0.5).messages[-1]
    assert member_of(ingest)._membership is joined
    assert joined is not None
    assert joined.granted == {0, 1, 2, 3}
    assert quick.ledger() == 2
    member_of(ingest).rest(3)
    assert "paused" in ingest.tick(0.5).messages[-1]
    assert "went on without this member" not in caplog.text


def test_a_partition_added_later_is_read(
    shared: GroupEvents,
    real_kafka: KafkaServer,
    stack: ExitStack,
) -> None:
    """From its beginning, by whoever it is given to."""
    quick = shared.with_client({"topic.metadata.refresh.interval.ms": 500})
    ingest = stack.enter_context(quick.ingest())
    until(lambda: len(reading(ingest)) == 4, ingest)
    real_kafka.add_partitions(quick.topic, 5)
    quick.send(event(params={"n": 1}), partition=4)
    until(lambda: quick.ledger() == 1, ingest)
    assert quick.positions()[1, 4] == 1


def test_a_silent_broker_does_not_hold_up_the_end(
    shared: GroupEvents,
    real_kafka: KafkaServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Leaving the group needs an answer; without one the process ends all the same."""
    monkeypatch.setattr(kafka_group, "_CLOSE_SECONDS", 1.0)
    with shared.ingest() as ingest:
        until(lambda: len(reading(ingest)) == 4, ingest)
        with real_kafka.paused():
            began = time.monotonic()
            ingest.close()
            assert time.monotonic() - began < 15
