"""Seeded changes of every kind that the index knows, for comparing an index with what was rebuilt of it."""

import contextlib
import random
from dataclasses import replace

from gateway.index.errors import IndexRefusal
from gateway.index.kms_keys import KmsKeyRecord, KmsKeyVersion
from gateway.index.records import AccessKey, Deletion, Origin, UserRecord, Versioning
from gateway.index.store import Index
from tests.gateway.index.making import NOW_MS, OWNER, begun_upload, make_bucket, stored_object, stored_part, write_id

BUCKETS = ("photos", "films", "notes")


class RandomChanges:
    """`change` makes one change, or is refused; what is refused changes nothing."""

    def __init__(self, index: Index, seed: int) -> None:
        self._index = index
        self._random = random.Random(seed)
        self._writes = 0
        self._uploads: list[tuple[str, str, str]] = []
        self._users: dict[str, UserRecord] = {}

    async def prepare(self) -> None:
        for bucket in BUCKETS:
            await make_bucket(self._index, bucket)
        await self._index.set_versioning("films", Versioning.ENABLED)

    async def change(self) -> None:
        kinds = (
            (self._put, 12),
            (self._put_large, 2),
            (self._delete, 5),
            (self._delete_version, 2),
            (self._upload, 2),
            (self._part, 5),
            (self._complete, 2),
            (self._abort, 1),
            (self._configure, 2),
            (self._user, 2),
            (self._rotate, 1),
            (self._reclaim, 2),
            (self._condemn, 1),
            (self._bucket, 1),
        )
        (kind,) = self._random.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])
        with contextlib.suppress(IndexRefusal):
            await kind()

    def _key(self) -> str:
        return f"key/{self._random.randrange(150)}"

    def _name(self) -> str:
        return self._random.choice(BUCKETS)

    def _write(self) -> int:
        self._writes += 1
        return self._writes

    async def _put(self) -> None:
        await self._index.put_object(
            self._name(), self._key(), stored_object(self._write(), self._random.randrange(999))
        )

    async def _put_large(self) -> None:
        """Of so many segments that the layout lies in a key of its own."""
        await self._index.put_object(self._name(), self._key(), stored_object(self._write(), 6400, segments=64))

    async def _delete(self) -> None:
        deletion = Deletion(key=self._key())
        await self._index.delete_object(self._name(), deletion, owner_id=OWNER, now_ms=NOW_MS)

    async def _delete_version(self) -> None:
        bucket, key = self._name(), self._key()
        _, record = await self._index.get_object(bucket, key)
        if record is not None:
            deletion = Deletion(key=key, version_id=record.version_id)
            await self._index.delete_object(bucket, deletion, owner_id=OWNER, now_ms=NOW_MS)

    async def _upload(self) -> None:
        bucket, key = self._name(), self._key()
        upload = await self._index.create_upload(bucket, begun_upload(key))
        self._uploads.append((bucket, key, upload.upload_id))

    async def _part(self) -> None:
        if self._uploads:
            part = stored_part(self._random.randrange(1, 6), self._write())
            await self._index.put_part(*self._random.choice(self._uploads), part)

    async def _complete(self) -> None:
        if self._uploads:
            upload = self._uploads.pop(self._random.randrange(len(self._uploads)))
            page = await self._index.all_parts(*upload)
            if page.parts:
                *unused, used = page.parts
                record = replace(stored_object(self._write()), extents=(used.extent,))
                unused_extents = [part.extent for part in unused]
                await self._index.complete_upload(*upload, record, revision=page.revision, unused=unused_extents)

    async def _abort(self) -> None:
        if self._uploads:
            await self._index.abort_upload(*self._uploads.pop(self._random.randrange(len(self._uploads))))

    async def _configure(self) -> None:
        document = self._random.choice((None, self._random.randbytes(40)))
        config = self._random.choice(("policy", "cors", "tagging"))
        await self._index.set_bucket_config(self._name(), config, document)

    async def _user(self) -> None:
        name = f"user-{self._random.randrange(4)}"
        present = self._users.pop(name, None)
        if present is not None and self._random.random() < 0.4:
            await self._index.remove_user(present.user_id)
            return
        key = AccessKey(access_key=f"AK{self._write()}", sealed_secret=b"sealed", created_ms=NOW_MS)
        user = present or UserRecord(user_id=name, name=name, display_name=name, email=None, created_ms=NOW_MS)
        user = replace(user, access_keys=(*user.access_keys, key), email=f"{self._write()}@example.com")
        self._users[name] = await self._index.put_user(user)

    async def _rotate(self) -> None:
        """Make a key of the key ring, or a version of one."""
        key_id = f"key-{self._random.randrange(3)}"
        present = await self._index.get_kms_key(key_id) or KmsKeyRecord(key_id=key_id, versions=())
        added = KmsKeyVersion(number=len(present.versions) + 1, created_ms=NOW_MS, sealed_key=b"sealed")
        await self._index.put_kms_key(replace(present, versions=(*present.versions, added)))

    async def _reclaim(self) -> None:
        for entry in await self._index.due_reclaims(grace_ms=0, limit=self._random.randrange(1, 8)):
            if self._random.random() < 0.8:
                await self._index.finish_reclaim(entry)

    async def _condemn(self) -> None:
        await self._index.condemn(write_id(10**9 + self._write()), Origin(bucket=self._name(), key=self._key()))

    async def _bucket(self) -> None:
        name = f"short-lived-{self._random.randrange(3)}"
        if self._random.random() < 0.5:
            await make_bucket(self._index, name)
        else:
            await self._index.delete_bucket(name)
