"""Blob ids, records on the wire, signatures."""

import dataclasses
from typing import Any

import pytest

from storagenode import protocol
from storagenode.protocol import BlobInfo, NodeHealth, NodeIdentity, RequestToSign, StoredBlob
from tests.storagenode.support import NOW_MS, SECRET

REQUEST = RequestToSign(node_id="n1", method="PUT", path_and_query="/v1/blobs/x?a=1", body_bytes=10, origin="b3JpZ2lu")


def test_blob_ids_sort_by_time_then_segment() -> None:
    early = protocol.new_write_id(NOW_MS, b"\xff" * 10)
    late = protocol.new_write_id(NOW_MS + 1, b"\x00" * 10)
    ids = [protocol.blob_id(early, 0), protocol.blob_id(early, 255), protocol.blob_id(late, 0)]
    assert ids == sorted(ids)
    assert all(protocol.is_blob_id(one) for one in ids)
    assert [protocol.blob_time_ms(one) for one in ids] == [NOW_MS, NOW_MS, NOW_MS + 1]


@pytest.mark.parametrize(
    ("now_ms", "random_bytes"), [(-1, b"0" * 10), (1 << 48, b"0" * 10), (0, b"0" * 9), (0, b"0" * 11)]
)
def test_a_write_id_takes_48_bits_of_time_and_10_random_bytes(now_ms: int, random_bytes: bytes) -> None:
    with pytest.raises(ValueError, match="write id"):
        protocol.new_write_id(now_ms, random_bytes)


@pytest.mark.parametrize(("write_id", "segment"), [("x", 0), ("0" * 32, -1), ("0" * 32, 1 << 32)])
def test_a_blob_id_is_made_of_valid_parts_only(write_id: str, segment: int) -> None:
    with pytest.raises(ValueError, match=r"write id|segment"):
        protocol.blob_id(write_id, segment)


def test_records_survive_the_wire() -> None:
    stored = StoredBlob(size_bytes=1 << 40, digest=bytes(16))
    info = BlobInfo(blob_id="b", size_bytes=0, origin=b"\xff\x00", digest=bytes(16))
    health = NodeHealth(node_id="n", zone="", capacity_bytes=1 << 60, free_bytes=0, accepting=False, quarantined=3)
    identity = NodeIdentity(node_id="n", time_ms=NOW_MS)
    wire = protocol.encode
    assert protocol.unpack_stored(protocol.decode(wire(protocol.pack_stored(stored)))) == stored
    assert protocol.unpack_info(protocol.decode(wire(protocol.pack_info(info)))) == info
    assert protocol.unpack_health(protocol.decode(wire(protocol.pack_health(health)))) == health
    assert protocol.unpack_identity(protocol.pack_identity(identity)) == identity


@pytest.mark.parametrize("payload", [b"", b"\x93\x01", b"\xc1", b"\x01\x02"])
def test_what_is_not_one_msgpack_value_is_a_value_error(payload: bytes) -> None:
    with pytest.raises(ValueError):
        protocol.decode(payload)


@pytest.mark.parametrize("fields", [None, [], {}, [1, 2, 3, 4], ["b", "1", b"", b""], "text"])
def test_fields_of_another_shape_are_a_value_error(fields: object) -> None:
    for unpack in (
        protocol.unpack_stored,
        protocol.unpack_info,
        protocol.unpack_health,
        protocol.unpack_identity,
    ):
        with pytest.raises(ValueError):
            unpack(fields)


def test_a_signed_request_is_authentic_and_survives_its_header() -> None:
    claim = protocol.authorize(SECRET, REQUEST, timestamp_ms=NOW_MS, session="a" * 32, sequence=7)
    assert protocol.parse_authorization(claim.render()) == claim
    assert protocol.is_authentic(SECRET, REQUEST, claim)
    assert not protocol.is_authentic(b"another secret", REQUEST, claim)


@pytest.mark.parametrize(
    "change",
    [
        {"node_id": "n2"},
        {"method": "DELETE"},
        {"path_and_query": "/v1/blobs/y?a=1"},
        {"path_and_query": "/v1/blobs/x?a=2"},
        {"body_bytes": 11},
        {"origin": ""},
    ],
)
def test_a_signature_binds_every_part_of_the_request(change: dict[str, Any]) -> None:
    claim = protocol.authorize(SECRET, REQUEST, timestamp_ms=NOW_MS, session="a" * 32, sequence=7)
    altered = dataclasses.replace(REQUEST, **change)
    assert not protocol.is_authentic(SECRET, altered, claim)


@pytest.mark.parametrize(
    "change", [{"timestamp_ms": NOW_MS + 1}, {"session": "b" * 32}, {"sequence": 8}, {"signature": "0" * 64}]
)
def test_a_signature_binds_every_part_of_the_claim(change: dict[str, Any]) -> None:
    claim = protocol.authorize(SECRET, REQUEST, timestamp_ms=NOW_MS, session="a" * 32, sequence=7)
    altered = dataclasses.replace(claim, **change)
    assert not protocol.is_authentic(SECRET, REQUEST, altered)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic eDp5",
        "Cairn-HMAC-SHA256 ",
        f"Cairn-HMAC-SHA256 timestamp=1,nonce={'a' * 32}.1,signature={'0' * 63}",
        f"Cairn-HMAC-SHA256 timestamp=-1,nonce={'a' * 32}.1,signature={'0' * 64}",
        f"Cairn-HMAC-SHA256 timestamp=1,nonce={'a' * 32},signature={'0' * 64}",
        f"Cairn-HMAC-SHA256 timestamp=1,nonce={'A' * 32}.1,signature={'0' * 64}",
        f"Cairn-HMAC-SHA256 timestamp=\u0661,nonce={'a' * 32}.1,signature={'0' * 64}",
    ],
)
def test_a_header_of_another_form_is_no_claim(header: str) -> None:
    assert protocol.parse_authorization(header) is None
