"""Listings of objects and of uploads: pages of a skip-scan over one bucket."""

from gateway.index.base import accepted, before_nul, bucket_keys, successor
from gateway.index.object_encoding import decode_version, order_of, order_of_version_id
from gateway.index.objects import ObjectIndex
from gateway.index.record_encoding import decode_upload
from gateway.index.records import (
    NULL_VERSION,
    ListedObject,
    ListedVersion,
    ListPosition,
    ObjectPage,
    UploadPage,
    UploadPosition,
    VersionPage,
    VersionPosition,
)
from gateway.index.scripts import load_script

_LIST = load_script("list_entries")

# Members read in one call of the script, where every lookup counts as four: 1 to 2 ms of the server's time.
_WORK_A_CALL = 2000


class ListingIndex(ObjectIndex):
    """The part of the index that lists."""

    async def list_objects(
        self,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after: ListPosition | None = None,
        limit: int = 1000,
        with_layout: bool = False,
    ) -> ObjectPage:
        """The current objects whose keys begin with `prefix`, in byte order of their UTF-8, delete markers left out.

        Keys that hold `delimiter` behind the prefix are rolled up. `after` is exclusive: with a key, a common prefix
        that holds greater keys is still listed; with a common prefix (as a page's `next` may be), everything
        under it is left out. The records come without extents and parts unless `with_layout`, and then without those
        that lie in a key of their own. Raises NoSuchBucket, IndexUnavailable.
        """
        lower = _lower_bound(prefix, after)
        members, groups, truncated = await self._scan(bucket, "objects", prefix, delimiter, lower, limit)
        objects = [
            ListedObject(key=key, record=record)
            for key, record in (decode_version(member, with_layout=with_layout) for member in members)
        ]
        common_prefixes = tuple([group.decode() for group in groups])
        position = None
        if truncated:
            position = _last_position(objects[-1].key if objects else None, common_prefixes)
        return ObjectPage(objects=tuple(objects), common_prefixes=common_prefixes, next=position)

    async def list_versions(
        self,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after: VersionPosition | None = None,
        limit: int = 1000,
    ) -> VersionPage:
        """Every version and delete marker, by key and from the newest to the oldest, rolled up as in `list_objects`.

        Raises NoSuchBucket, IndexUnavailable.
        """
        lower = await self._lower_version_bound(bucket, prefix, after)
        members, groups, truncated = await self._scan(bucket, "versions", prefix, delimiter, lower, limit)
        versions: list[ListedVersion] = []
        previous = after.value if after is not None and not after.is_prefix else None
        for key, record in (decode_version(member, with_layout=False) for member in members):
            versions.append(ListedVersion(key=key, record=record, is_latest=key != previous))
            previous = key
        common_prefixes = tuple([group.decode() for group in groups])
        position = None
        if truncated:
            last = _last_position(versions[-1].key if versions else None, common_prefixes)
            version_id = None if last.is_prefix else versions[-1].record.version_id
            position = VersionPosition(value=last.value, version_id=version_id, is_prefix=last.is_prefix)
        return VersionPage(versions=tuple(versions), common_prefixes=common_prefixes, next=position)

    async def _lower_version_bound(self, bucket: str, prefix: str, after: VersionPosition | None) -> bytes | None:
        """Where the versions behind a position begin; the null version does not tell its place, so it is asked for."""
        if after is None:
            return prefix.encode()
        if after.is_prefix or not after.version_id or "\0" in after.value:
            return _lower_bound(prefix, ListPosition(value=after.value, is_prefix=after.is_prefix))
        order = order_of_version_id(after.version_id)
        if after.version_id == NULL_VERSION:
            _, record = await self.get_object(bucket, after.value, NULL_VERSION, with_layout=False)
            order = None if record is None else order_of(record.sequence)
        if order is None:
            return _lower_bound(prefix, ListPosition(value=after.value))
        return max(prefix.encode(), successor(after.value.encode() + b"\0" + order))

    async def list_uploads(
        self,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after: UploadPosition | None = None,
        limit: int = 1000,
    ) -> UploadPage:
        """The uploads under way by key and then by initiation, rolled up as in `list_objects`.

        Raises NoSuchBucket, IndexUnavailable.
        """
        lower = _lower_upload_bound(prefix, after)
        members, groups, truncated = await self._scan(bucket, "uploads", prefix, delimiter, lower, limit)
        uploads = tuple([decode_upload(member) for member in members])
        common_prefixes = tuple([group.decode() for group in groups])
        position = None
        if truncated:
            last = _last_position(uploads[-1].key if uploads else None, common_prefixes)
            upload_id = None if last.is_prefix else uploads[-1].upload_id
            position = UploadPosition(value=last.value, upload_id=upload_id, is_prefix=last.is_prefix)
        return UploadPage(uploads=uploads, common_prefixes=common_prefixes, next=position)

    async def _scan(
        self, bucket: str, what: str, prefix: str, delimiter: str, lower: bytes | None, limit: int
    ) -> tuple[list[bytes], list[bytes], bool]:
        """Members and common prefixes from the lower bound on, and whether there are more than `limit`.

        A lower bound of None lies behind everything.
        """
        nothing_fits = limit < 1 or lower is None or "\0" in prefix
        cursor = b"" if lower is None else lower
        upper = successor(prefix.encode())
        wanted = 1 if nothing_fits else limit + 1  # one more, to know whether there is one
        members: list[bytes] = []
        groups: list[bytes] = []
        while True:
            arguments = (what, prefix, delimiter, cursor, upper, wanted - len(members) - len(groups), _WORK_A_CALL)
            reply = await self._connection.read(_LIST, bucket_keys(bucket), arguments)
            cursor, more_members, more_groups = accepted(reply, bucket)
            if nothing_fits:
                return [], [], False
            members += more_members
            groups += more_groups
            if len(members) + len(groups) == wanted:
                _drop_last(members, groups)
                return members, groups, True
            if not cursor:
                return members, groups, False


def _lower_bound(prefix: str, after: ListPosition | None) -> bytes | None:
    start = prefix.encode()
    if after is None or not after.value:
        return start
    if not after.is_prefix:
        return max(start, before_nul(after.value) + b"\1")
    behind = successor(after.value.encode())
    return max(start, behind) if behind else None


def _lower_upload_bound(prefix: str, after: UploadPosition | None) -> bytes | None:
    if after is None:
        return prefix.encode()
    if after.is_prefix or not after.upload_id or "\0" in after.value:
        return _lower_bound(prefix, ListPosition(value=after.value, is_prefix=after.is_prefix))
    return max(prefix.encode(), after.value.encode() + b"\0" + successor(after.upload_id.encode()))


def _drop_last(members: list[bytes], groups: list[bytes]) -> None:
    if not members or (groups and groups[-1] > members[-1].partition(b"\0")[0]):
        groups.pop()
    else:
        members.pop()


def _last_position(last_key: str | None, common_prefixes: tuple[str, ...]) -> ListPosition:
    if last_key is None or (common_prefixes and common_prefixes[-1].encode() > last_key.encode()):
        return ListPosition(value=common_prefixes[-1], is_prefix=True)
    return ListPosition(value=last_key)
