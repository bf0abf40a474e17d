"""A process that dies while it copies dead letters to a topic: a copy may repeat, never lack."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer

from jobu_core.dispatcher.queue.adapter.kafka import KafkaAdapter
from jobu_core.dispatcher.queue.copies import read_copy
from jobu_core.store.dead_letters import list_dead_letters
from jobu_core.store.engine import transaction
from tests.crash.dispatching import TOPIC, DispatchCase, Dispatcher, Site

if TYPE_CHECKING:
    from uuid import UUID

COPIES = "dead-letters"
REFUSED = ("dead_letters", "kafka_positions")
CASES = (
    (DispatchCase("mirror.letters_marked", rules=(1, 5), leaves=REFUSED), 0, 1),
    (DispatchCase("mirror.copies_confirmed", rules=(1, 5), leaves=REFUSED), 1, 2),
    (DispatchCase("mirror.committed", rules=(1, 5), leaves=REFUSED), 1, 1),
)


def copies(bootstrap: str) -> list[UUID | None]:
    """Return which letter each message of the dead letter topic is a copy of."""
    with KafkaAdapter(bootstrap, COPIES, "reader") as adapter:
        ends = {at: adapter.watermarks(at).high for at in adapter.partitions()}
        adapter.seek(dict.fromkeys(ends, 0))
        found: list[UUID | None] = []
        while len(found) < sum(ends.values()):
            for message in adapter.fetch(10, 1.0):
                copy = read_copy(message)
                found.append(copy.letter_id if copy is not None else None)
    return found


@pytest.mark.parametrize(("case", "at_death", "after"), CASES, ids=str)
def test_a_mirror_that_dies_loses_no_copy(
    site: Site,
    mock_kafka: str,
    case: DispatchCase,
    at_death: int,
    after: int,
) -> None:
    """The letter is owed until the transaction that saw the confirmation has ended."""
    producer = Producer({"bootstrap.servers": mock_kafka})
    producer.produce(TOPIC, b"{", partition=0)
    assert producer.flush(10) == 0
    mirrored = replace(site, bootstrap=mock_kafka, queue={"dead_letter_topic": COPIES})
    with mirrored.after_death(case, Dispatcher.ingest) as restarted:
        assert len(copies(mock_kafka)) == at_death
        restarted.run_to_rest()
        with transaction(restarted.engine) as connection:
            (letter,) = list_dead_letters(connection)
        assert copies(mock_kafka) == [letter.id] * after
        assert letter.mirrored_at is not None
        restarted.audit(bad=[(TOPIC, 0, 0)])
