"""Listing objects: by example, and against a naive model over random keys, prefixes, delimiters and positions."""

import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.index import listing
from gateway.index.errors import NoSuchBucket
from gateway.index.records import Deletion, ListPosition, ObjectPage, Versioning
from gateway.index.store import Index
from tests.gateway.index.making import NOW_MS, OWNER, make_bucket, put, stored_object
from tests.harness.opened_index import open_new

BUCKET = "photos"


@pytest.fixture
async def photos(index: Index) -> Index:
    await make_bucket(index, BUCKET)
    return index


def shown(page: ObjectPage) -> tuple[list[str], list[str]]:
    return [listed.key for listed in page.objects], list(page.common_prefixes)


async def test_keys_come_in_byte_order_of_their_utf8(photos: Index) -> None:
    keys = ["foo", "foo/bar", "foo\x01", "foo.", "fo", "é", "z", "\uffff", "\U0001f600", "Foo"]
    await put(photos, *keys)

    page = await photos.list_objects(BUCKET)

    assert shown(page) == (sorted(keys, key=str.encode), [])
    assert not page.truncated


async def test_keys_are_rolled_up_behind_the_prefix(photos: Index) -> None:
    await put(photos, "a", "a/", "a/b", "a/b/c", "a/d", "a0", "b/c")

    assert shown(await photos.list_objects(BUCKET, delimiter="/")) == (["a", "a0"], ["a/", "b/"])
    assert shown(await photos.list_objects(BUCKET, prefix="a/", delimiter="/")) == (["a/", "a/b", "a/d"], ["a/b/"])
    assert shown(await photos.list_objects(BUCKET, prefix="a/b", delimiter="/")) == (["a/b"], ["a/b/"])
    assert shown(await photos.list_objects(BUCKET, delimiter="/b")) == (["a", "a/", "a/d", "a0", "b/c"], ["a/b"])


async def test_a_position_inside_a_common_prefix_still_lists_it_unless_it_is_the_prefix(photos: Index) -> None:
    await put(photos, "a/1", "a/2", "b")

    async def after(position: ListPosition) -> tuple[list[str], list[str]]:
        return shown(await photos.list_objects(BUCKET, delimiter="/", after=position))

    assert await after(ListPosition(value="a/1")) == (["b"], ["a/"])
    assert await after(ListPosition(value="a/")) == (["b"], ["a/"])
    assert await after(ListPosition(value="a/2")) == (["b"], [])
    assert await after(ListPosition(value="a/", is_prefix=True)) == (["b"], [])


async def test_a_page_ends_at_its_limit_and_tells_where_to_go_on(photos: Index) -> None:
    await put(photos, "a/1", "a/2", "b", "c/1", "d")

    first = await photos.list_objects(BUCKET, delimiter="/", limit=1)
    second = await photos.list_objects(BUCKET, delimiter="/", limit=2, after=first.next)
    third = await photos.list_objects(BUCKET, delimiter="/", limit=1, after=second.next)

    assert (shown(first), first.next) == (([], ["a/"]), ListPosition(value="a/", is_prefix=True))
    assert (shown(second), second.next) == ((["b"], ["c/"]), ListPosition(value="c/", is_prefix=True))
    assert (shown(third), third.next) == ((["d"], []), None)


async def test_nothing_is_listed_with_limit_zero_or_a_nul_in_the_prefix(photos: Index) -> None:
    await put(photos, "a")

    assert shown(await photos.list_objects(BUCKET, limit=0)) == ([], [])
    assert not (await photos.list_objects(BUCKET, limit=0)).truncated
    assert shown(await photos.list_objects(BUCKET, prefix="a\0")) == ([], [])
    assert shown(await photos.list_objects(BUCKET, delimiter="\0")) == (["a"], [])
    assert shown(await photos.list_objects(BUCKET, after=ListPosition(value="a\0b"))) == ([], [])
    assert shown(await photos.list_objects(BUCKET, after=ListPosition(value="\0"))) == (["a"], [])


@pytest.mark.parametrize("limit", [0, 10])
async def test_listing_needs_the_bucket(index: Index, limit: int) -> None:
    with pytest.raises(NoSuchBucket):
        await index.list_objects("missing", limit=limit)


async def test_only_current_versions_that_are_no_markers_are_listed(photos: Index) -> None:
    await photos.set_versioning(BUCKET, Versioning.ENABLED)
    for number in range(12):
        await photos.put_object(BUCKET, "many/versions", stored_object(number))
    await put(photos, "gone/1", "gone/2", "half/1", "half/2")
    for key in ("gone/1", "gone/2", "half/1"):
        await photos.delete_object(BUCKET, Deletion(key=key), owner_id=OWNER, now_ms=NOW_MS)

    page = await photos.list_objects(BUCKET)

    assert shown(page) == (["half/2", "many/versions"], [])
    assert page.objects[1].record.etag == stored_object(11).etag
    assert shown(await photos.list_objects(BUCKET, delimiter="/")) == ([], ["half/", "many/"])


async def test_records_are_listed_with_extents_only_when_asked_for(photos: Index) -> None:
    await put(photos, "a")

    bare = (await photos.list_objects(BUCKET)).objects[0].record
    whole = (await photos.list_objects(BUCKET, with_layout=True)).objects[0].record

    assert bare == dataclasses.replace(whole, extents=())
    assert whole.extents == stored_object().extents


# Short strings over few characters collide often; the rest are the odd ones.
texts = st.text(alphabet=st.sampled_from("ab/-\x01\x7fé\U0001f600"), max_size=5)
keys = st.text(alphabet=st.sampled_from("ab/-\x01\x7fé\U0001f600"), min_size=1, max_size=6)
delimiters = st.sampled_from(["", "/", "/", "a", "ab", "//", "é", "\x01"])


def naive_listing(
    keys: list[str], prefix: str, delimiter: str, after: ListPosition | None
) -> list[tuple[bytes, str, bool]]:
    """Every entry as (sort key, text, is a common prefix), by the words of the S3 documentation."""
    entries = {}
    for key in keys:
        if not key.startswith(prefix):
            continue
        if after is not None and (
            (after.is_prefix and key.startswith(after.value)) or key.encode() <= after.value.encode()
        ):
            continue
        at = key.find(delimiter, len(prefix)) if delimiter else -1
        text, is_prefix = (key, False) if at < 0 else (key[: at + len(delimiter)], True)
        entries[text, is_prefix] = (text.encode(), text, is_prefix)
    return sorted(entries.values())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    live=st.lists(keys, max_size=25, unique=True),
    dead=st.lists(keys, max_size=8, unique=True),
    prefix=texts,
    delimiter=delimiters,
    start=st.none() | st.builds(ListPosition, value=texts),
    limit=st.integers(min_value=1, max_value=7),
    work=st.sampled_from([1, 10, 2000]),
)
async def test_pages_together_are_what_the_model_lists(
    index: Index,
    live: list[str],
    dead: list[str],
    prefix: str,
    delimiter: str,
    start: ListPosition | None,
    limit: int,
    work: int,
) -> None:
    await open_new(index._connection)
    await make_bucket(index, BUCKET)
    await index.set_versioning(BUCKET, Versioning.ENABLED)
    dead = [key for key in dead if key not in live]
    await put(index, *live, *live[::2], *dead)
    await index.delete_objects(BUCKET, [Deletion(key=key) for key in dead], owner_id=OWNER, now_ms=NOW_MS)
    expected = [entry[1:] for entry in naive_listing(live, prefix, delimiter, start)]

    listed: list[tuple[str, bool]] = []
    position = start
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "_WORK_A_CALL", work)
        while True:
            page = await index.list_objects(BUCKET, prefix=prefix, delimiter=delimiter, after=position, limit=limit)
            entries = [(listed_object.key, False) for listed_object in page.objects]
            entries += [(common_prefix, True) for common_prefix in page.common_prefixes]
            listed += sorted(entries, key=lambda entry: entry[0].encode())
            if page.next is None:
                break
            assert len(entries) == limit
            position = page.next

    assert listed == expected
