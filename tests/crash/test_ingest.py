"""An ingest that dies between two writes: each message is one row, read by the next ingest."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import psycopg
import pytest
from confluent_kafka import Producer

from tests.crash.dispatching import TOPIC, DispatchCase, Dispatcher, Site, Topic
from tests.fix_events import event

if TYPE_CHECKING:
    from tests.crash.audit import Message

GOOD = event(params={"n": 1})
GARBAGE = b"{"
UNKNOWN = event("nobody", params={"n": 1})
REFUSED = event(params={"n": 22003})
"""What the store refuses: one row of a batch is at fault, the others are not."""

STORED = ("job_executions", "dead_letters", "kafka_positions")
_REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.params ->> 'n' = '22003' THEN RAISE EXCEPTION 'no' USING ERRCODE = '22003'; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON job_executions FOR EACH ROW EXECUTE FUNCTION refuse()
"""

BATCH = (
    DispatchCase("ingest.lock_taken", rules=(7,)),
    DispatchCase("ingest.positions_settled", rules=(1, 6)),
    DispatchCase("ingest.messages_decoded", rules=(1, 6)),
    DispatchCase("batch.positions_locked", rules=(1,)),
    DispatchCase("isolate.part_inserted", rules=(5,)),
    DispatchCase("isolate.part_refused", rules=(5,)),
    DispatchCase("isolate.part_refused", rules=(5,), visit=2),
    DispatchCase("batch.executions_inserted", rules=(1,)),
    DispatchCase("batch.dead_letters_inserted", rules=(1, 5)),
    DispatchCase("positions.one_advanced", rules=(1,)),
    DispatchCase("positions.one_advanced", rules=(1,), visit=2),
    DispatchCase("ingest.batch_written", rules=(1, 6)),
    DispatchCase("ingest.batch_committed", rules=(1, 6, 14), leaves=STORED),
    DispatchCase("ingest.broker_told", rules=(1,)),  # of what was stored before this start
    DispatchCase("ingest.broker_told", rules=(1,), visit=2, leaves=STORED),
)


def named(case: DispatchCase) -> str:
    """Return the name of a case's test."""
    return f"{case.point}-{case.visit}"


@pytest.fixture
def picky(site: Site) -> Site:
    """Let the store refuse one kind of params."""
    with psycopg.connect(site.url) as connection:
        connection.execute(_REFUSE)
    return site


@pytest.fixture
def started(picky: Site) -> Site:
    """Return a topic of two partitions that was read to its end before more came."""
    first = replace(picky, topic=Topic({0: (GOOD,), 1: (GOOD,)}))
    first.do(Dispatcher.ingest)
    more = {0: (GOOD, GOOD, GARBAGE, GOOD), 1: (GOOD, GOOD, UNKNOWN, REFUSED, GOOD)}
    return replace(picky, topic=Topic(more))


def split(topic: Topic) -> tuple[list[Message], list[Message]]:
    """Return the messages that must become executions, and those that must not."""
    good: list[Message] = []
    bad: list[Message] = []
    for at, values in topic.logs.items():
        for offset in range(topic.low.get(at, 0), len(values)):
            (good if values[offset] == GOOD else bad).append((TOPIC, at, offset))
    return good, bad


@pytest.mark.parametrize("case", BATCH, ids=named)
def test_a_batch_is_stored_whole_or_not_at_all(started: Site, case: DispatchCase) -> None:
    """Whatever the dead process had done of it, each message is in the ledger once."""
    with started.after_death(case, Dispatcher.ingest) as restarted:
        restarted.run_to_rest()
        good, bad = split(started.topic)
        restarted.audit(good=good, bad=bad)


@pytest.mark.parametrize(
    "case",
    [DispatchCase("ingest.batch_committed", rules=(1,), visit=2, leaves=STORED)],
    ids=named,
)
def test_what_was_stored_before_the_death_is_not_read_again(
    started: Site, case: DispatchCase
) -> None:
    """Two transactions of three messages; the broker was told of neither."""
    small = replace(started, queue={"ingest_batch": 3})
    with small.after_death(case, Dispatcher.ingest) as restarted:
        assert sum(map(len, (restarted.contents()[name] for name in STORED[:2]))) == 2 + 6
        restarted.run_to_rest()
        good, bad = split(small.topic)
        restarted.audit(good=good, bad=bad)


@pytest.mark.parametrize(
    "case",
    [
        DispatchCase("resume.positions_inserted", rules=(1,)),
        DispatchCase("ingest.positions_settled", rules=(1,), leaves=("kafka_positions",)),
    ],
    ids=named,
)
def test_a_first_start_decides_once_where_reading_begins(site: Site, case: DispatchCase) -> None:
    """With ``latest``: what came after the stored start is read, though nobody was there."""
    latest = replace(
        site,
        topic=Topic({0: (GOOD, GOOD)}),
        queue={"kafka_auto_offset_reset": "latest"},
    )
    later = replace(latest, topic=Topic({0: (GOOD, GOOD, GOOD, GARBAGE)}))
    stored = bool(case.leaves)
    with latest.after_death(case, Dispatcher.ingest):
        pass
    with later.process() as restarted:
        restarted.run_to_rest()
        good, bad = ([(TOPIC, 0, 2)], [(TOPIC, 0, 3)]) if stored else ([], [])
        restarted.audit(good=good, bad=bad)


@dataclass(frozen=True)
class ChangeCase(DispatchCase):
    """A death while a change of the topic is being settled."""

    topic: Topic = field(default_factory=Topic)
    lost: tuple[Message, ...] = ()


NEW_PARTITION = Topic({0: (GOOD,), 1: (GOOD,), 2: (GOOD, GARBAGE)})
RETENTION = Topic({0: (GOOD,) * 6, 1: (GOOD,)}, low={0: 4})
CHANGES = (
    ChangeCase("resume.positions_inserted", rules=(1,), topic=NEW_PARTITION),
    ChangeCase(
        "resume.gap_recorded",
        rules=(1,),
        topic=RETENTION,
        lost=tuple((TOPIC, 0, offset) for offset in (1, 2, 3)),
    ),
    ChangeCase(
        "resume.gap_stepped_over",
        rules=(1,),
        topic=RETENTION,
        lost=tuple((TOPIC, 0, offset) for offset in (1, 2, 3)),
    ),
)


@pytest.mark.parametrize("case", CHANGES, ids=named)
def test_a_change_of_the_topic_is_settled_once(picky: Site, case: ChangeCase) -> None:
    """A new partition is read from its start; what retention took is one gap, not silence."""
    before = replace(picky, topic=Topic({0: (GOOD,), 1: (GOOD,)}))
    before.do(Dispatcher.ingest)
    changed = replace(picky, topic=case.topic)
    with changed.after_death(case, Dispatcher.ingest) as restarted:
        restarted.run_to_rest()
        good, bad = split(case.topic)
        read_before = {(TOPIC, 0, 0), (TOPIC, 1, 0)}
        restarted.audit(good=read_before | set(good), bad=bad, lost=case.lost)


@pytest.mark.parametrize("case", [DispatchCase("resume.positions_inserted", rules=(1,))], ids=named)
def test_a_topic_made_anew_begins_one_generation(picky: Site, case: DispatchCase) -> None:
    """All partitions move to it together, and every message of both topics is read once."""
    replace(picky, topic=Topic({0: (GOOD,), 1: (GOOD,)})).do(Dispatcher.ingest)
    anew = replace(
        picky,
        topic=Topic({0: (GOOD,), 1: (GARBAGE,)}, topic_id="topic-2"),
        queue={"on_recreate": "new_generation"},
    )
    with anew.after_death(case, Dispatcher.ingest) as restarted:
        restarted.run_to_rest()
        found = restarted.ledger()
        assert found == {
            (1, 0, 0, "SUCCESS"),
            (1, 1, 0, "SUCCESS"),
            (2, 0, 0, "SUCCESS"),
            (2, 1, 0, "not_json"),
        }


@pytest.mark.parametrize("case", [DispatchCase("resume.identity_learned", rules=(1,))], ids=named)
def test_an_identity_is_learned_again_after_a_death(picky: Site, case: DispatchCase) -> None:
    """The topic's id was not known at first; the death neither loses messages nor learns half."""
    first = replace(picky, topic=Topic({0: (GOOD,), 1: ()}))
    first.do(Dispatcher.ingest)
    with psycopg.connect(picky.url) as connection:
        connection.execute("UPDATE kafka_positions SET topic_id = NULL")
    with replace(first, topic=Topic({0: (GOOD, GOOD), 1: (GARBAGE,)})).after_death(
        case, Dispatcher.ingest
    ) as restarted:
        restarted.run_to_rest()
        restarted.audit(good=[(TOPIC, 0, 0), (TOPIC, 0, 1)], bad=[(TOPIC, 1, 0)])


ON_KAFKA = (
    DispatchCase("ingest.messages_decoded", rules=(1, 6), leaves=("kafka_positions",)),
    DispatchCase("ingest.batch_written", rules=(1,), leaves=("kafka_positions",)),
    DispatchCase("ingest.batch_committed", rules=(1,), leaves=STORED),
    DispatchCase("ingest.broker_told", rules=(1,), leaves=STORED),
)


@pytest.mark.parametrize("case", ON_KAFKA, ids=named)
def test_the_same_holds_with_a_kafka_client(
    site: Site, mock_kafka: str, case: DispatchCase
) -> None:
    """What the client knew dies with the process; the table is where the next one begins."""
    producer = Producer({"bootstrap.servers": mock_kafka})
    for value in (GOOD, GARBAGE, GOOD, UNKNOWN):
        producer.produce(TOPIC, value, partition=0)
    assert producer.flush(10) == 0
    reading = replace(site, bootstrap=mock_kafka)
    with reading.after_death(case, Dispatcher.ingest) as restarted:
        restarted.run_to_rest()
        restarted.audit(
            good=[(TOPIC, 0, 0), (TOPIC, 0, 2)],
            bad=[(TOPIC, 0, 1), (TOPIC, 0, 3)],
        )
