"""Kafka through librdkafka: manual assignment, explicit offsets, bounded waits.

librdkafka's traps that shape this file: a callback that raises while messages
are handed over destroys them; ``consume(n, t)`` waits out all of ``t``; a lost
broker is silence, not an error; closing a consumer waits for ever for a commit
that got no answer; error texts may repeat a setting's secret value.
"""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from jobu_core.clock import SystemClock
from jobu_core.dispatcher.queue.adapter import kafka_settings
from jobu_core.dispatcher.queue.adapter.base import (
    BaseQueueAdapter,
    OutgoingMessage,
    TopicIdentity,
    Watermarks,
)
from jobu_core.dispatcher.queue.adapter.kafka_message import EPOCH, to_message
from jobu_core.errors import ConfigError, InvalidInput, QueueUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from confluent_kafka import Message

    from jobu_core.models import QueueMessage

Answer = TypeVar("Answer")
Client = TypeVar("Client")

_log: Final = logging.getLogger("jobu.kafka")
"""librdkafka's own lines go here, so that they follow the process's logging."""

_SLICE_SECONDS: Final = 0.2
_REQUEST_SECONDS: Final = 5.0
_DELIVERY_SECONDS: Final = 15.0

_REFUSED_MESSAGE: Final = frozenset(
    {
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.TOPIC_EXCEPTION,
    },
)
_NO_LEADER: Final = frozenset(
    {
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    },
)
_CANNOT_DESCRIBE: Final = frozenset(
    {
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError._UNSUPPORTED_FEATURE,  # noqa: SLF001 - the client's public spelling
    },
)


class KafkaAdapter(BaseQueueAdapter):
    """One topic of a Kafka cluster, read by manual assignment."""

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str,
        group_id: str,
        client: Mapping[str, Any] | None = None,
    ) -> None:
        """Read ``topic`` as ``group_id``; ``client`` are further librdkafka settings.

        Raises ConfigError when ``client`` holds a setting that jobu decides.
        """
        super().__init__(topic)
        self._bootstrap = bootstrap_servers
        self._group_id = group_id
        self._client = kafka_settings.checked(client or {})
        self._clock = SystemClock()  # waits on a network: real time by nature
        self._consumer: Consumer | None = None
        self._producer: Producer | None = None
        self._admin: AdminClient | None = None
        self._complaint: str | None = None
        self._is_positioned = False

    @property
    def address(self) -> str:
        """The bootstrap servers."""
        return self._bootstrap

    def open(self) -> None:
        """Make the consumer; raises ConfigError for client settings that cannot work."""
        if self._consumer is not None:
            return
        self._consumer = _make(Consumer, self._consumer_settings())

    def close(self) -> None:
        """Close the consumer and drop the other clients."""
        consumer, self._consumer = self._consumer, None
        self._producer = self._admin = self._complaint = None
        self._is_positioned = False
        if consumer is not None:
            try:
                consumer.close()
            except (KafkaException, RuntimeError) as error:
                _log.warning("closing the consumer: %s", _reason(error))

    def partitions(self) -> tuple[int, ...]:
        """Return the topic's partitions in order; empty while it does not exist."""
        found = self._metadata().topics.get(self.topic)
        if found is None:
            return ()
        if found.error is None:
            return tuple(sorted(found.partitions))
        if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return ()
        raise QueueUnavailable(f"topic {self.topic}: {found.error.str()}")

    def identity(self) -> TopicIdentity:
        """Return the cluster's id, and the topic's where DescribeTopics answers."""
        metadata = self._metadata()
        if metadata.controller_id not in metadata.brokers:  # the mock broker has none to ask
            return TopicIdentity(metadata.cluster_id, None)
        # A broker may not know a new topic yet. "Cannot say" would pass for any topic.
        return TopicIdentity(metadata.cluster_id, self._once_known(self._topic_id))

    def watermarks(self, partition: int) -> Watermarks:
        """Ask the partition's leader which offsets it holds."""
        where = TopicPartition(self.topic, partition)
        found = self._once_known(
            lambda: self._call(lambda c: c.get_watermark_offsets(where, _REQUEST_SECONDS)),
        )
        if found is None:
            raise QueueUnavailable(f"partition {partition}: no answer about its offsets")
        return Watermarks(low=found[0], high=found[1])

    def seek(self, positions: Mapping[int, int]) -> None:
        """Assign exactly these partitions, each from its offset."""
        wanted = [TopicPartition(self.topic, at, offset) for at, offset in positions.items()]
        self._is_positioned = False
        self._call(lambda consumer: consumer.assign(wanted))
        self._is_positioned = True

    def fetch(self, max_records: int, timeout_seconds: float) -> list[QueueMessage]:
        """Return what is there, up to ``max_records``; wait for a first message."""
        if not self._is_positioned:
            raise QueueUnavailable("no position: seek first")
        deadline = self._clock.monotonic() + timeout_seconds
        while True:
            left = max(0.0, deadline - self._clock.monotonic())
            messages = self._take(max_records, min(left, _SLICE_SECONDS))
            if messages:
                self._complaint = None
                return messages
            if self._complaint is not None:
                self._complaint = None
                self._metadata()  # silence after a complaint: is the cluster still there?
            if left <= 0:
                return []

    def rest(self, timeout_seconds: float) -> None:
        """Wait; without a group there is nobody to answer to."""
        self._is_positioned = False
        self._clock.sleep(timeout_seconds)

    def commit(self, positions: Mapping[int, int]) -> None:
        """Send the offsets without waiting for the answer."""
        # Not consumer.commit(): closing a consumer waits without limit for the answer
        # to a commit that a silent broker never gives (ten minutes were seen).
        offsets = [TopicPartition(self.topic, at, offset) for at, offset in positions.items()]
        if not offsets:
            return
        request = self._open_admin().alter_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(self._group_id, offsets)],
            request_timeout=_REQUEST_SECONDS,
        )
        request[self._group_id].add_done_callback(_note_commit)

    def committed(self) -> Mapping[int, int]:
        """Ask the group's coordinator what was committed."""
        wanted = [TopicPartition(self.topic, at) for at in self.partitions()]
        found = self._call(lambda c: c.committed(wanted, timeout=_REQUEST_SECONDS))
        return {each.partition: each.offset for each in found if each.offset >= 0}

    def lag(self, positions: Mapping[int, int]) -> Mapping[int, int]:
        """Return per partition how many offsets lie between the position and the end."""
        return {at: max(0, self.watermarks(at).high - offset) for at, offset in positions.items()}

    def publish(self, topic: str, messages: Sequence[OutgoingMessage]) -> list[tuple[int, int]]:
        """Send ``messages`` and wait until the cluster has confirmed each."""
        producer = self._open_producer()
        reports: dict[int, KafkaError | tuple[int, int]] = {}
        try:
            for index, message in enumerate(messages):
                self._produce(producer, topic, message, _Report(reports, index))
            producer.flush(_DELIVERY_SECONDS)
            return [_placed(topic, reports.get(index)) for index in range(len(messages))]
        except QueueUnavailable:
            self._producer = None  # it would believe for minutes that a new topic is unknown
            raise

    def _produce(
        self,
        producer: Producer,
        topic: str,
        message: OutgoingMessage,
        report: _Report,
    ) -> None:
        where: dict[str, Any] = {}
        if message.partition is not None:
            where["partition"] = message.partition
        if message.timestamp is not None:
            where["timestamp"] = (message.timestamp - EPOCH) // timedelta(milliseconds=1)
        deadline = self._clock.monotonic() + _DELIVERY_SECONDS
        while True:
            try:
                producer.produce(
                    topic,
                    value=message.value,
                    key=message.key,
                    headers=list(message.headers),
                    on_delivery=report,
                    **where,
                )
            except BufferError:  # the local queue is full: let it drain
                producer.poll(_SLICE_SECONDS)
                if self._clock.monotonic() > deadline:
                    raise QueueUnavailable(f"{self._bootstrap} takes no messages") from None
            except KafkaException as error:
                raise _undelivered(topic, error.args[0]) from error
            else:
                producer.poll(0)
                return

    def _take(self, max_records: int, wait_seconds: float) -> list[QueueMessage]:
        first = self._call(lambda consumer: consumer.consume(1, wait_seconds))
        if not first:
            return []
        rest: list[Message] = []
        if max_records > 1:
            rest = self._call(lambda consumer: consumer.consume(max_records - 1, 0))
        return [self._readable(message) for message in (*first, *rest)]

    def _readable(self, message: Message) -> QueueMessage:
        error = message.error()
        if error is not None:
            self._is_positioned = False
            where = f"{message.topic()}/{message.partition()}"
            raise QueueUnavailable(f"{where} at offset {message.offset()}: {error.str()}")
        return to_message(message)

    def _metadata(self) -> Any:  # noqa: ANN401 - the client's ClusterMetadata, untyped there
        return self._call(lambda c: c.list_topics(self.topic, timeout=_REQUEST_SECONDS))

    def _topic_id(self) -> str | None:
        request = self._open_admin().describe_topics(
            TopicCollection([self.topic]),
            request_timeout=_REQUEST_SECONDS,
        )
        try:
            return str(request[self.topic].result(timeout=2 * _REQUEST_SECONDS).topic_id)
        except KafkaException as error:
            if error.args[0].code() in _CANNOT_DESCRIBE:
                return None
            raise self._unavailable(error) from error
        except TimeoutError as error:
            raise QueueUnavailable(f"{self._bootstrap} does not describe the topic") from error

    def _once_known(self, ask: Callable[[], Answer]) -> Answer:
        """Ask; for a while again if the cluster does not know the topic or its leader yet."""
        deadline = self._clock.monotonic() + _REQUEST_SECONDS
        while True:
            try:
                return ask()
            except QueueUnavailable as error:
                if not _is_electing(error) or self._clock.monotonic() > deadline:
                    raise
            self._clock.sleep(_SLICE_SECONDS)

    def _open_admin(self) -> AdminClient:
        if self._admin is None:
            self._admin = _make(AdminClient, self._settings({}))
        return self._admin

    def _open_producer(self) -> Producer:
        if self._producer is None:
            self._producer = _make(Producer, self._settings(kafka_settings.PRODUCER))
        return self._producer

    def _consumer_settings(self) -> dict[str, Any]:
        return {
            **self._settings(kafka_settings.CONSUMER),
            **kafka_settings.consumer_rules(self._group_id),
        }

    def _settings(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **kafka_settings.COMMON,
            **defaults,
            **self._client,
            "bootstrap.servers": self._bootstrap,
            "error_cb": self._note_complaint,
        }

    def _note_complaint(self, error: KafkaError) -> None:
        """Remember that the client complained; a callback must never raise."""
        self._complaint = str(error.name())

    def _call(self, action: Callable[[Consumer], Any]) -> Any:  # noqa: ANN401 - the client's own types
        if self._consumer is None:
            raise QueueUnavailable("the adapter is not open")
        try:
            return action(self._consumer)
        except (KafkaException, RuntimeError) as error:
            self._is_positioned = False
            raise self._unavailable(error) from error

    def _unavailable(self, error: KafkaException | RuntimeError) -> QueueUnavailable:
        return QueueUnavailable(f"Kafka at {self._bootstrap}: {_reason(error)}")


class _Report:
    """Keeps what became of one sent message; called by the client, must not raise."""

    def __init__(self, reports: dict[int, KafkaError | tuple[int, int]], index: int) -> None:
        self._reports = reports
        self._index = index

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        placed = (message.partition() or 0, message.offset() or 0)
        self._reports[self._index] = placed if error is None else error


def _make(kind: Callable[..., Client], settings: dict[str, Any]) -> Client:
    try:
        return kind(settings, logger=_log)
    except (KafkaException, TypeError, ValueError) as error:
        names = re.findall(r'property:? "([\w.]+)"|: ([\w]+\.[\w.]+) failed', str(error))
        found = next((a or b for a, b in names), None)
        which = f"kafka.client.{found}" if found else "a setting under kafka.client"
        # The client's own text may hold the value, which may be a secret.
        raise ConfigError(f"{which} is not accepted by the Kafka client") from None


def _note_commit(done: Future[Any]) -> None:
    """Log what became of a commit; called by the client, must not raise."""
    if not done.cancelled() and (error := done.exception()) is not None:
        _log.warning("offsets not committed: %s", error)


def _placed(topic: str, report: KafkaError | tuple[int, int] | None) -> tuple[int, int]:
    if report is None:
        raise QueueUnavailable(f"no confirmation from topic {topic} in time")
    if isinstance(report, KafkaError):
        raise _undelivered(topic, report)
    return report


def _undelivered(topic: str, error: KafkaError) -> InvalidInput | QueueUnavailable:
    if error.code() in _REFUSED_MESSAGE:
        return InvalidInput(f"topic {topic} refuses the message: {error.str()}")
    return QueueUnavailable(f"not delivered to topic {topic}: {error.str()}")


def _is_electing(error: QueueUnavailable) -> bool:
    """Tell the moments in which a partition, perhaps a new one, has no known leader."""
    cause = error.__cause__
    return isinstance(cause, KafkaException) and cause.args[0].code() in _NO_LEADER


def _reason(error: KafkaException | RuntimeError) -> str:
    detail = error.args[0] if error.args else error
    return str(detail.str()) if isinstance(detail, KafkaError) else str(detail)
