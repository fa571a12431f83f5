"""R and W of a bucket: what is allowed, what is stored, what holds without a document."""

import pytest

from gateway.index.errors import CorruptRecord, UnsupportedFormat
from gateway.index.records import CARRIED_CONFIGS, BucketRecord
from gateway.redundancy import (
    MOST_REPLICAS,
    REDUNDANCY,
    Redundancy,
    RedundancyError,
    changed_redundancy,
    decode_redundancy,
    encode_redundancy,
    majority,
    redundancy_of,
    replicas_of,
)
from gateway.settings import GatewaySettings


def bucket_with(document: bytes | None) -> BucketRecord:
    configs = {} if document is None else {REDUNDANCY: document}
    return BucketRecord(name="b", bucket_id=1, owner_id="o", created_ms=0, region="r", configs=configs)


def test_the_document_comes_with_every_reading_of_a_bucket() -> None:
    assert REDUNDANCY in CARRIED_CONFIGS


@pytest.mark.parametrize(
    ("replicas", "write_quorum", "allowed"),
    [
        (1, 1, True),
        (2, 2, True),
        (3, 2, True),
        (3, 3, True),
        (4, 3, True),
        (5, 3, True),
        (0, 0, False),
        (1, 0, False),
        (2, 1, False),  # half is no majority
        (3, 1, False),
        (4, 2, False),
        (3, 4, False),
        (-1, 1, False),
    ],
)
def test_a_write_waits_for_a_majority_at_least_and_for_all_at_most(
    replicas: int, write_quorum: int, allowed: bool
) -> None:
    if allowed:
        made = Redundancy(replicas=replicas, write_quorum=write_quorum)
        assert decode_redundancy(encode_redundancy(made)) == made
    else:
        with pytest.raises(RedundancyError):
            Redundancy(replicas=replicas, write_quorum=write_quorum)


@pytest.mark.parametrize("replicas", range(1, MOST_REPLICAS + 1))
def test_two_majorities_always_share_a_node(replicas: int) -> None:
    assert 2 * majority(replicas) > replicas
    assert 2 * (majority(replicas) - 1) <= replicas


@pytest.mark.parametrize(
    ("nodes", "settings_replicas", "expected"),
    [(0, 0, (1, 1)), (1, 0, (1, 1)), (2, 0, (2, 2)), (3, 0, (3, 2)), (9, 0, (3, 2)), (9, 5, (5, 3)), (1, 2, (2, 2))],
)
def test_bucket_without_a_document_follows_the_cluster(
    nodes: int, settings_replicas: int, expected: tuple[int, int]
) -> None:
    found = redundancy_of(bucket_with(None), nodes, GatewaySettings(replicas=settings_replicas))
    assert (found.replicas, found.write_quorum) == expected


def test_bucket_with_a_document_does_not() -> None:
    stored = encode_redundancy(Redundancy(replicas=4, write_quorum=4))
    assert redundancy_of(bucket_with(stored), 2, GatewaySettings(replicas=1)) == decode_redundancy(stored)
    assert replicas_of(bucket_with(stored), 2, GatewaySettings(replicas=1)) == 4


def test_stored_form_stays_readable() -> None:
    assert encode_redundancy(Redundancy(replicas=3, write_quorum=2)) == b'{"format":1,"replicas":3,"write_quorum":2}'


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        (b'{"format":2,"replicas":3,"write_quorum":2,"data":4}', UnsupportedFormat),
        (b"", CorruptRecord),
        (b"\xff\x00", CorruptRecord),
        (b"[1,3,2]", CorruptRecord),
        (b'{"format":1,"replicas":3}', CorruptRecord),
        (b'{"format":1,"replicas":"3","write_quorum":2}', CorruptRecord),
        (b'{"format":1,"replicas":3,"write_quorum":1}', CorruptRecord),
    ],
)
def test_what_is_not_understood_is_never_read_as_fewer_copies(stored: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        redundancy_of(bucket_with(stored), 3, GatewaySettings())


@pytest.mark.parametrize(
    ("replicas", "write_quorum", "expected"),
    [
        (5, None, (5, 3)),
        (2, None, (2, 2)),
        (None, 3, (3, 3)),
        (None, 2, (3, 2)),
        (MOST_REPLICAS, None, (MOST_REPLICAS, 9)),
    ],
)
def test_quorum_follows_the_replicas_unless_it_is_given(
    replicas: int | None, write_quorum: int | None, expected: tuple[int, int]
) -> None:
    present = Redundancy(replicas=3, write_quorum=2)
    made = changed_redundancy(present, replicas=replicas, write_quorum=write_quorum)
    assert (made.replicas, made.write_quorum) == expected


@pytest.mark.parametrize(("replicas", "write_quorum"), [(MOST_REPLICAS + 1, None), (3, 1), (None, 4), (0, None)])
def test_what_an_administrator_may_not_ask_for(replicas: int | None, write_quorum: int | None) -> None:
    present = Redundancy(replicas=3, write_quorum=2)
    with pytest.raises(RedundancyError, match=r"cop"):
        changed_redundancy(present, replicas=replicas, write_quorum=write_quorum)
