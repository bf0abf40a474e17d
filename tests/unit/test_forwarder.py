"""Only a broker's own address and id are rewritten, in both encodings of Kafka."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from jobu_core.services.broker import shown_identity
from jobu_core.services.forwarder import Identity, readdress
from jobu_core.services.ports import Address

_ACTUAL = Identity("127.0.0.1", 36909, "mockCluster15666c2c20dc")
_SHOWN = Identity("broker.shop.example", 9092, "jobu-1")


def _classic(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _compact(text: str) -> bytes:
    return bytes([len(text) + 1]) + text.encode()


def test_a_classic_response_gets_the_shown_address() -> None:
    """Metadata up to version 8 writes strings with a 16-bit length."""
    before = b"head" + _classic(_ACTUAL.host) + struct.pack(">i", _ACTUAL.port) + b"\xff\xff"
    after = b"head" + _classic(_SHOWN.host) + struct.pack(">i", _SHOWN.port) + b"\xff\xff"
    assert readdress(before, _ACTUAL, _SHOWN) == after


def test_a_flexible_response_gets_the_shown_address_and_cluster() -> None:
    """Metadata from version 9 on writes strings with a varint of length + 1."""
    before = _compact(_ACTUAL.host) + struct.pack(">i", _ACTUAL.port) + _compact(_ACTUAL.cluster_id)
    after = _compact(_SHOWN.host) + struct.pack(">i", _SHOWN.port) + _compact(_SHOWN.cluster_id)
    assert readdress(before, _ACTUAL, _SHOWN) == after


def test_a_long_host_name_is_written_as_a_two_byte_varint() -> None:
    """Host names may have up to 253 characters, more than one varint byte holds."""
    long = Identity("h" * 200, 9092, "jobu-1")
    before = _compact(_ACTUAL.host) + struct.pack(">i", _ACTUAL.port)
    written = readdress(before, _ACTUAL, long)
    assert written == b"\xc9\x01" + b"h" * 200 + struct.pack(">i", 9092)


def test_the_host_with_another_port_stays() -> None:
    """The pair is replaced, not every mention of this machine."""
    other = _classic(_ACTUAL.host) + struct.pack(">i", 1)
    assert readdress(other, _ACTUAL, _SHOWN) == other


@given(st.binary(max_size=200))
def test_other_bytes_pass_unchanged(payload: bytes) -> None:
    """A response without the broker's address is not touched."""
    assert readdress(payload, _ACTUAL, _SHOWN) == payload


def test_every_start_has_a_cluster_id_of_its_own() -> None:
    """Positions are tied to the id, and the broker's memory is new at each start."""
    where = Address("localhost", 9092)
    first, second = shown_identity(_ACTUAL, where), shown_identity(_ACTUAL, where)
    assert first.cluster_id != second.cluster_id
    assert (first.host, first.port) == ("127.0.0.1", 9092)


def test_a_named_host_is_what_clients_are_sent_to() -> None:
    """Clients on other machines cannot use the loopback address."""
    assert shown_identity(_ACTUAL, Address("broker.example", 9092)).host == "broker.example"
