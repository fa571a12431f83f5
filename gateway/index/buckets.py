"""Buckets: creating, reading, listing, removing."""

import asyncio
from collections.abc import Mapping

from gateway.index import keys
from gateway.index.base import IndexBase, accepted, before_nul, bucket_keys, flag, successor
from gateway.index.errors import NoSuchBucket
from gateway.index.packing import FORMAT
from gateway.index.record_encoding import BUCKET_FIELDS, config_field, decode_bucket
from gateway.index.records import NO_CONFIGS, BucketPage, BucketRecord, Versioning
from gateway.index.scripts import load_script

_CREATE = load_script("create_bucket")
_DELETE = load_script("delete_bucket")
_SET_VERSIONING = load_script("set_versioning")
_SET_QUOTA = load_script("set_quota")
_SET_CONFIG = load_script("set_bucket_config")
_CORRECT = load_script("correct_counters")

# Uploads that one call of the script aborts: about 5 ms in which the server does nothing else.
_UPLOADS_A_CALL = 500


class BucketIndex(IndexBase):
    """The part of the index that knows buckets."""

    async def create_bucket(
        self,
        name: str,
        owner_id: str,
        region: str,
        *,
        now_ms: int,
        limit: int,
        configs: Mapping[str, bytes] = NO_CONFIGS,
        versioning: Versioning = Versioning.UNVERSIONED,
    ) -> BucketRecord:
        """Make a bucket with these configuration documents; the owner may have `limit` buckets.

        Raises BucketExists (whose `owner_id` may be this owner), TooManyBuckets, IndexUnavailable.
        """
        reply = await self._connection.change(
            _CREATE,
            (*bucket_keys(name), keys.buckets(), keys.owned_buckets(), keys.born()),
            (
                name,
                owner_id,
                now_ms,
                region,
                limit,
                FORMAT,
                versioning.value,
                *_config_arguments(configs),
                *BUCKET_FIELDS,
            ),
        )
        (fields,) = accepted(reply, name)
        return decode_bucket(name, fields)

    async def get_bucket(self, name: str) -> BucketRecord:
        """The bucket with its present counts. Raises NoSuchBucket, IndexUnavailable."""
        fields = await self._connection.observe("HMGET", keys.bucket(name), *BUCKET_FIELDS)
        if fields[0] is None:
            raise NoSuchBucket(name)
        return decode_bucket(name, fields)

    async def delete_bucket(self, name: str) -> int:
        """Remove an empty bucket, abort its uploads; returns the number of the change.

        The uploads of a bucket with more than some hundreds of them are aborted in several steps, and stay so if an
        object is written in between. Raises NoSuchBucket, BucketNotEmpty, IndexUnavailable.
        """
        all_keys = (*bucket_keys(name), keys.buckets(), keys.owned_buckets())
        while True:
            reply = await self._connection.change(_DELETE, all_keys, (name, _UPLOADS_A_CALL))
            if reply[0] != b"More":
                sequence: int = accepted(reply, name)[0]
                return sequence

    async def set_versioning(self, name: str, versioning: Versioning) -> int:
        """Set the versioning state; returns the number of the change.

        Raises NoSuchBucket, VersioningRequired (the bucket has object lock), IndexUnavailable.

        What a bucket holds as null versions supposes that it never goes back to UNVERSIONED.
        """
        if versioning is Versioning.UNVERSIONED:
            raise ValueError("versioning can be suspended, not taken back")
        reply = await self._connection.change(_SET_VERSIONING, bucket_keys(name), (versioning.value,))
        sequence: int = accepted(reply, name)[0]
        return sequence

    async def set_quota(self, name: str, *, size_bytes: int | None, objects: int | None) -> int:
        """Limit what a bucket holds, all versions counted; None is no limit. Returns the number of the change.

        What is there stays, however much it is. Raises NoSuchBucket, IndexUnavailable.
        """
        limits = ["" if limit is None else limit for limit in (size_bytes, objects)]
        reply = await self._connection.change(_SET_QUOTA, bucket_keys(name), limits)
        sequence: int = accepted(reply, name)[0]
        return sequence

    async def set_bucket_config(
        self, name: str, config: str, document: bytes | None, *, bucket_id: int | None = None
    ) -> int:
        """Replace the configuration document of this name, or remove it; returns the number of the change.

        `bucket_id` is the bucket that the caller was authorized for. Raises NoSuchBucket, VersioningRequired (object
        lock in a bucket that is not versioning, or taking it away), IndexUnavailable.
        """
        expected = "" if bucket_id is None else bucket_id
        reply = await self._connection.change(
            _SET_CONFIG,
            bucket_keys(name),
            (expected, config_field(config), flag(document is not None), document or b""),
        )
        sequence: int = accepted(reply, name)[0]
        return sequence

    async def correct_counters(self, name: str, *, bucket_id: int, excess: tuple[int, int]) -> int:
        """Take what was found to be counted too much (objects, bytes) off a bucket; returns the number of the change.

        To be applied once for each finding. Raises NoSuchBucket, IndexUnavailable.
        """
        reply = await self._connection.change(_CORRECT, bucket_keys(name), (bucket_id, *excess))
        sequence: int = accepted(reply, name)[0]
        return sequence

    async def get_bucket_config(self, name: str, config: str) -> bytes | None:
        """The configuration document of this name, or None. Raises NoSuchBucket, IndexUnavailable.

        Those of CARRIED_CONFIGS come with the bucket: `BucketRecord.configs`.
        """
        bucket_id, document = await self._connection.observe("HMGET", keys.bucket(name), "id", config_field(config))
        if bucket_id is None:
            raise NoSuchBucket(name)
        found: bytes | None = document
        return found

    async def list_buckets(
        self, owner_id: str | None = None, *, prefix: str = "", after: str = "", limit: int = 1000
    ) -> BucketPage:
        """Buckets by name, of one owner or of all. Raises IndexUnavailable."""
        if limit < 1 or "\0" in prefix:
            return BucketPage(buckets=(), truncated=False)
        set_name = keys.buckets() if owner_id is None else keys.owned_buckets()
        scope = b"" if owner_id is None else owner_id.encode() + b"\0"
        start = before_nul(after)
        lower = scope + max(prefix.encode(), start + b"\1" if after else b"")
        upper = successor(scope + prefix.encode())
        bounds = (b"[" + lower, b"(" + upper if upper else b"+")
        members = await self._connection.observe("ZRANGEBYLEX", set_name, *bounds, "LIMIT", 0, limit + 1)
        names = [member[len(scope) :].decode() for member in members]
        found = await asyncio.gather(*[self._get_bucket_if_there(name) for name in names[:limit]])
        buckets = tuple([bucket for bucket in found if bucket is not None])
        return BucketPage(buckets=buckets, truncated=len(names) > limit)

    async def _get_bucket_if_there(self, name: str) -> BucketRecord | None:
        try:
            return await self.get_bucket(name)
        except NoSuchBucket:
            return None


def _config_arguments(configs: Mapping[str, bytes]) -> tuple[int | str | bytes, ...]:
    pairs = [item for name, document in configs.items() for item in (config_field(name), document)]
    return (len(configs), *pairs)
