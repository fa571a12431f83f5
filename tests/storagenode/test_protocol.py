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


def test_the_time_of_a_copy_goes_over_the_wire_and_is_no_part_of_what_the_blob_is() -> None:
    info = BlobInfo(blob_id="b", size_bytes=1, origin=b"", digest=bytes(16), durable_ms=NOW_MS)
    fields = protocol.decode(protocol.encode(protocol.pack_info(info)))
    assert protocol.unpack_info(fields).durable_ms == NOW_MS
    from_older_node = protocol.unpack_info(fields[:4])
    assert from_older_node.durable_ms == 0
    assert from_older_node == info


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


SCRUB = protocol.ScrubProgress(
    number=2,
    started_ms=NOW_MS,
    expected_end_ms=NOW_MS + 10,
    blobs=30,
    blobs_left=10,
    size_bytes=1 << 50,
    damaged=3,
    completed_ms=NOW_MS - 10,
)
HEALTH = protocol.NodeHealth(
    node_id="n", zone="z", capacity_bytes=2, free_bytes=1, accepting=True, quarantined=3, scrub=SCRUB
)


@pytest.mark.parametrize("health", [HEALTH, dataclasses.replace(HEALTH, scrub=None)])
def test_health_comes_back_as_it_was_packed(health: protocol.NodeHealth) -> None:
    assert protocol.unpack_health(protocol.decode(protocol.encode(protocol.pack_health(health)))) == health


def test_health_of_older_and_newer_nodes_is_understood() -> None:
    packed = protocol.pack_health(HEALTH)
    assert protocol.unpack_health(packed[:6]) == dataclasses.replace(HEALTH, scrub=None)
    newer = [*packed[:6], [*packed[6], "more"], "and more"]
    assert protocol.unpack_health(newer) == HEALTH
    with pytest.raises(ValueError, match="scrub"):
        protocol.unpack_health([*packed[:6], ["half"]])


def test_scrub_progress_tells_its_share() -> None:
    assert SCRUB.fraction == 0.75
    assert dataclasses.replace(SCRUB, blobs=0, blobs_left=0).fraction == 1.0


def test_a_damaged_blob_comes_back_as_it_was_packed() -> None:
    damaged = protocol.DamagedBlob(
        cursor="1.2.3", blob_id="b", found_ms=NOW_MS, found_by="scrub", reason="block-1", origin=b"\xff", size_bytes=-1
    )
    packed = protocol.pack_damaged(damaged)
    assert protocol.unpack_damaged([*packed, "a newer node's"]) == damaged
    with pytest.raises(ValueError, match="damaged"):
        protocol.unpack_damaged(packed[:-1])
