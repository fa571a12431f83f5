"""The back pointer of a blob: what was packed is read back, and anything else is refused."""

import msgpack
import pytest

from gateway.datapath.origin import BlobOrigin, OriginError, pack_origin, unpack_origin
from gateway.index.records import Origin
from storagenode.protocol import ORIGIN_LIMIT_BYTES

WRITE_ID = "0123456789abcdef" * 2

ORIGINS = [
    Origin(bucket="b", key="k"),
    Origin(bucket="b", key="a//b/../\x01\n\U0001f600 \u00e9", upload_id="u" * 64, part_number=10_000),
]


@pytest.mark.parametrize("origin", ORIGINS)
def test_what_was_packed_is_read_back(origin: Origin) -> None:
    packed = pack_origin(origin, write_id=WRITE_ID, size_bytes=5 << 40)
    assert unpack_origin(packed) == BlobOrigin(write_id=WRITE_ID, origin=origin, size_bytes=5 << 40)


def test_the_longest_origin_fits_on_a_node() -> None:
    origin = Origin(bucket="b" * 63, key="\U0001f600" * 256, upload_id="u" * 1024, part_number=10_000)
    assert len(pack_origin(origin, write_id=WRITE_ID, size_bytes=5 << 40)) < ORIGIN_LIMIT_BYTES


def test_fields_that_a_later_release_appends_are_ignored() -> None:
    fields = msgpack.unpackb(pack_origin(ORIGINS[0], write_id=WRITE_ID, size_bytes=1))
    assert unpack_origin(msgpack.packb([*fields, "more"])).origin == ORIGINS[0]


@pytest.mark.parametrize(
    "fields",
    [
        None,
        {},
        [],
        [1],
        [2, WRITE_ID, "b", "k", None, None, 1],
        [1, WRITE_ID, "b", "k", None, None],
        [1, 7, "b", "k", None, None, 1],
        [1, WRITE_ID, b"b", "k", None, None, 1],
        [1, WRITE_ID, "b", "k", 5, None, 1],
        [1, WRITE_ID, "b", "k", None, "5", 1],
        [1, WRITE_ID, "b", "k", None, None, None],
    ],
)
def test_other_values_are_refused(fields: object) -> None:
    with pytest.raises(OriginError):
        unpack_origin(msgpack.packb(fields))


def test_no_prefix_of_an_origin_is_an_origin_and_nothing_may_follow_it() -> None:
    packed = pack_origin(ORIGINS[1], write_id=WRITE_ID, size_bytes=1)
    for broken in [packed[:length] for length in range(len(packed))] + [packed + b"\0"]:
        with pytest.raises(OriginError):
            unpack_origin(broken)
