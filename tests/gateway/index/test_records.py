"""Records to bytes and back: random records, compactness, damaged and newer bytes."""

import string
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.index import packing
from gateway.index.encryption_record import Encryption, EncryptionMode
from gateway.index.errors import CorruptRecord, UnsupportedFormat
from gateway.index.layout_cache import LayoutCache
from gateway.index.layout_encoding import decode_layout, encode_layout
from gateway.index.object_encoding import (
    decode_object,
    decode_version,
    encode_object,
    order_of,
    order_of_version_id,
    pack_etag,
    sequence_of,
    version_id_of,
)
from gateway.index.record_encoding import (
    decode_bucket,
    decode_extents,
    decode_part,
    decode_reclaim,
    decode_upload,
    decode_user,
    encode_extents,
    encode_part,
    encode_upload,
    encode_user,
)
from gateway.index.records import (
    AccessKey,
    Checksum,
    Extent,
    ObjectPart,
    ObjectRecord,
    PartRecord,
    ReclaimKind,
    Segment,
    UploadRecord,
    UserRecord,
)
from tests.gateway.index.making import NODES, extent, stored_object, stored_part, write_id

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
hex_ids = st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}")
ids = hex_ids | texts
sizes = st.integers(0, 5 << 40)
times = st.integers(0, 2**45)
pairs = st.lists(st.tuples(st.sampled_from([*packing.HEADER_NAMES, "x-other"]) | texts, texts), max_size=4).map(tuple)
etags = st.one_of(hex_ids, st.builds("{}-{}".format, hex_ids, st.integers(-1, 70000)), texts)
keys = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
checksums = st.none() | st.builds(
    Checksum,
    algorithm=st.sampled_from(["SHA256", "CRC32", "XXHASH3"]),
    type=st.sampled_from(["FULL_OBJECT", "COMPOSITE", ""]),
    value=texts,
)
node_sets = st.lists(st.sampled_from(["n", *NODES]), min_size=0, max_size=3, unique=True).map(tuple)
segments = st.builds(
    Segment, number=st.integers(0, 2**31), size_bytes=st.sampled_from([0, 7, 1 << 26]) | sizes, nodes=node_sets
)
extents = st.builds(Extent, write_id=hex_ids, segments=st.lists(segments, max_size=5).map(tuple))
object_parts = st.builds(ObjectPart, number=st.integers(1, 10000), size_bytes=sizes, checksum=st.none() | texts)
encryptions = st.none() | st.builds(
    Encryption,
    mode=st.sampled_from(EncryptionMode),
    wrapped_key=st.binary(max_size=65),
    kms_key_id=texts,
    kms_key_version=st.integers(0, 2**31),
    context=texts,
    bucket_key=st.booleans(),
    block_format=st.integers(1, 255),
)
objects = st.builds(
    ObjectRecord,
    etag=etags,
    size_bytes=sizes,
    modified_ms=times,
    owner_id=ids,
    headers=pairs,
    metadata=pairs,
    checksum=checksums,
    tags=pairs,
    delete_marker=st.booleans(),
    extents=st.lists(extents, max_size=3).map(tuple),
    parts=st.lists(object_parts, max_size=3).map(tuple),
    sequence=st.integers(0, 2**53),
    encryption=encryptions,
)


@given(record=objects, key=keys)
def test_objects_round_trip(record: ObjectRecord, key: str) -> None:
    member = key.encode() + b"\0" + order_of(record.sequence) + encode_object(record)

    read_key, read = decode_version(member)

    assert read_key == key
    assert read.version_id == version_id_of(record.sequence)
    assert replace(read, version_id="null") == record


@given(
    part=st.builds(
        PartRecord,
        part_number=st.integers(1, 10000),
        size_bytes=sizes,
        etag=etags,
        checksum=checksums,
        modified_ms=times,
        extent=extents,
    )
)
def test_parts_round_trip(part: PartRecord) -> None:
    assert decode_part(encode_part(part)) == part


@given(
    upload=st.builds(
        UploadRecord,
        upload_id=hex_ids,
        key=keys,
        owner_id=ids,
        initiated_ms=times,
        headers=pairs,
        metadata=pairs,
        tags=pairs,
        checksum_algorithm=st.none() | texts,
        checksum_type=st.none() | texts,
        encryption=encryptions,
    )
)
def test_uploads_round_trip(upload: UploadRecord) -> None:
    member = upload.key.encode() + b"\0" + upload.upload_id.encode() + encode_upload(upload)

    assert decode_upload(member) == upload


def test_an_upload_of_an_earlier_release_is_not_encrypted() -> None:
    fields = packing.unpack_record(encode_upload(UploadRecord(key="k", owner_id="o", initiated_ms=1)))
    for count in (7, 8, 9, 10):
        member = b"k\0" + b"0" * 32 + packing.pack_record(fields[:count])
        assert decode_upload(member) == UploadRecord(key="k", owner_id="o", initiated_ms=1, upload_id="0" * 32)


@given(
    user=st.builds(
        UserRecord,
        user_id=ids,
        name=texts,
        display_name=texts,
        email=st.none() | texts,
        created_ms=times,
        access_keys=st.lists(
            st.builds(AccessKey, access_key=texts, sealed_secret=st.binary(max_size=20), created_ms=times), max_size=2
        ).map(tuple),
        revision=st.integers(0, 2**53),
        policy=texts,
    )
)
def test_users_round_trip(user: UserRecord) -> None:
    assert decode_user(user.revision.to_bytes(8) + encode_user(user)) == user


def test_users_of_earlier_releases_have_no_policy() -> None:
    fields = ("id", "ann", "Ann", None, 7, [["AK", b"sealed", 8]])
    old = UserRecord(
        user_id="id",
        name="ann",
        display_name="Ann",
        email=None,
        created_ms=7,
        access_keys=(AccessKey(access_key="AK", sealed_secret=b"sealed", created_ms=8),),
        revision=1,
    )
    assert decode_user((1).to_bytes(8) + packing.pack_record(fields)) == old
    assert encode_user(old) == packing.pack_record(fields)
    with pytest.raises(CorruptRecord):
        decode_user((1).to_bytes(8) + packing.pack_record((*fields, "{}", "more")))


@given(found=st.lists(extents, max_size=4).map(tuple), parts=st.lists(object_parts, max_size=6).map(tuple))
def test_layouts_round_trip(found: tuple[Extent, ...], parts: tuple[ObjectPart, ...]) -> None:
    assert decode_layout(encode_layout(found, parts)) == (found, parts)
    assert decode_extents(encode_extents(found)) == found


@pytest.mark.parametrize("kind", list(ReclaimKind))
def test_reclaim_entries_are_told_apart_by_kind(kind: ReclaimKind) -> None:
    records = {
        ReclaimKind.OBJECT: encode_object(stored_object(3)),
        ReclaimKind.PART: encode_part(stored_part(1, 3)),
        ReclaimKind.UPLOAD: b"0" * 32 + encode_upload(UploadRecord(key="k", owner_id="o", initiated_ms=1)),
        ReclaimKind.EXTENTS: encode_extents([extent(3)]),
    }
    reference = b"bucket\0key\0" + order_of(256) + bytes([kind])

    entry = decode_reclaim(reference + records[kind])

    assert (entry.reference, entry.kind, entry.bucket, entry.key) == (reference, kind, "bucket", "key")
    assert (entry.record is not None) == (kind is ReclaimKind.OBJECT)
    assert (entry.upload_id is not None) == (kind is ReclaimKind.UPLOAD)
    assert entry.extents == ((extent(3),) if kind in (ReclaimKind.PART, ReclaimKind.EXTENTS) else ())


def test_newer_versions_of_a_key_sort_first() -> None:
    orders = [order_of(sequence) for sequence in (0, 1, 255, 256, 2**32 - 1, 2**32, 2**53)]

    assert orders == sorted(orders, reverse=True)
    assert [sequence_of(order) for order in orders] == [0, 1, 255, 256, 2**32 - 1, 2**32, 2**53]


@pytest.mark.parametrize("text", ["", "null", "0" * 15, "0" * 17, "000000000000000A", "g" * 16, "0" * 14 + "٣٤"])
def test_text_that_is_no_version_id(text: str) -> None:
    assert order_of_version_id(text) is None


@given(sequence=st.integers(0, 2**53))
def test_version_ids_round_trip(sequence: int) -> None:
    assert order_of_version_id(version_id_of(sequence)) == order_of(sequence)


@pytest.mark.parametrize(("etag", "size"), [("a" * 32, 17), ("a" * 32 + "-10000", 19), ("", 1), ("text", 5)])
def test_etags_are_packed(etag: str, size: int) -> None:
    assert len(pack_etag(etag)) == size


@given(first=etags, second=etags)
def test_different_etags_are_packed_differently(first: str, second: str) -> None:
    assert (pack_etag(first) == pack_etag(second)) == (first == second)


def test_an_etag_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="127"):
        pack_etag("x" * 128)


@pytest.mark.parametrize("bad", ["", "0" * 31, "0" * 34, "A" * 32, string.ascii_lowercase])
def test_a_write_id_must_be_one(bad: str) -> None:
    with pytest.raises(ValueError):
        encode_extents([Extent(write_id=bad, segments=())])


def test_a_small_object_takes_few_bytes() -> None:
    assert len(encode_object(stored_object())) <= 202  # three nodes take 54, owner 34, checksum 18


def test_the_layout_of_the_largest_object_is_compact() -> None:
    nodes = [f"{number:032x}" for number in range(12)]
    found = tuple(
        Extent(
            write_id=write_id(part),
            segments=tuple(
                Segment(
                    number=at,
                    size_bytes=64 << 20 if at < 8 else 37 << 20,
                    nodes=tuple(nodes[(part * 7 + at * 5 + copy) % 12] for copy in range(3)),
                )
                for at in range(9)
            ),
        )
        for part in range(10_000)
    )
    parts = tuple(ObjectPart(number=at + 1, size_bytes=extent.size_bytes) for at, extent in enumerate(found))

    packed = encode_layout(found, parts)

    assert len(packed) < 500_000
    assert decode_layout(packed) == (found, parts)


def versions_of(data: bytes) -> list[object]:
    """Every decoder on these bytes, with its exception in place of the result."""
    outcomes: list[object] = []
    for decode in (
        lambda: decode_object(order_of(1), data),
        lambda: decode_version(b"k\0" + order_of(1) + data),
        lambda: decode_part(data),
        lambda: decode_upload(b"k\0" + b"0" * 32 + data),
        lambda: decode_user(bytes(8) + data),
        lambda: decode_layout(data),
        lambda: decode_extents(data),
    ):
        try:
            outcomes.append(decode())
        except (CorruptRecord, UnsupportedFormat) as error:
            outcomes.append(type(error))
    return outcomes


def test_a_newer_format_is_refused() -> None:
    newer = bytes([packing.FORMAT + 1]) + encode_object(stored_object())[1:]

    assert set(versions_of(newer)) == {UnsupportedFormat}
    with pytest.raises(UnsupportedFormat):
        decode_bucket("b", [b"2", b"1", b"o", b"1", b"r", b"", b"0", b"0"])


def test_unknown_flags_are_refused() -> None:
    data = bytearray(encode_object(stored_object()))
    data[1] |= 0x40

    with pytest.raises(UnsupportedFormat):
        decode_object(order_of(1), bytes(data))


@settings(max_examples=300)
@given(data=st.binary(max_size=60))
def test_foreign_bytes_raise_nothing_else(data: bytes) -> None:
    versions_of(data)
    versions_of(bytes([packing.FORMAT]) + data)


@pytest.mark.parametrize("cut", range(len(encode_object(stored_object()))))
def test_a_truncated_record_is_corrupt(cut: int) -> None:
    with pytest.raises(CorruptRecord):
        decode_object(order_of(1), encode_object(stored_object())[:cut])


@pytest.mark.parametrize("member", [b"", b"b\0k", b"b\0k\0" + bytes(8), b"b\0k\0" + bytes(8) + b"\x09record"])
def test_a_damaged_reclaim_entry_is_corrupt(member: bytes) -> None:
    with pytest.raises(CorruptRecord):
        decode_reclaim(member)


@pytest.mark.parametrize("fields", [[None] * 8, [b"1", b"x", b"o", b"1", b"r", b"", b"0", b"0"], [b"1"]])
def test_a_damaged_bucket_is_corrupt(fields: list[bytes]) -> None:
    with pytest.raises(CorruptRecord):
        decode_bucket("b", fields)


def test_the_layout_cache_lets_go_of_what_was_not_used() -> None:
    cache = LayoutCache(capacity_pieces=10)
    layout = ((extent(1, segments=4),), ())
    cache.put("a", layout)
    cache.put("b", layout)
    cache.get("a")
    cache.put("c", layout)
    cache.put("c", layout)

    assert [cache.get(name) is not None for name in "abc"] == [True, False, True]
    cache.put("huge", ((extent(2, segments=100),), ()))
    assert [cache.get(name) is not None for name in ("a", "c", "huge")] == [False, False, True]
