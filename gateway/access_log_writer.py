"""Writes the gathered lines of server access logs as objects into their target buckets, as PutObject would.

A log object is the target's owner's; quotas, default encryption and versioning of the target hold for it.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime, time
from types import TracebackType
from typing import Any, Self

import structlog

from gateway.access_log import AccessLog, LogGroup
from gateway.authorization import AccessCheck
from gateway.condition_values import Sender
from gateway.context import Context, Services
from gateway.credentials import Identity
from gateway.datapath.errors import DataPathError
from gateway.index.cause import Cause, set_cause
from gateway.index.errors import IndexFailure, IndexRefusal, NoSuchBucket
from gateway.index.records import BucketRecord
from gateway.log_delivery import may_deliver
from gateway.operations import HANDLERS
from gateway.payload import build_payload
from gateway.receiver import Receiver
from s3compat.access_log import LOGGING_SERVICE, LogTarget, decode_document, log_key, parse_logging
from s3compat.errors import S3Error
from s3compat.request import NO_PARAMS, Headers, S3Request

SHORTEST_PAUSE_S = 1.0
"""Between two writes: with an index that is away the lines are soon many enough again."""
LAST_WRITE_TIMEOUT_S = 5.0
"""At a stop."""
#: What an object's ACL can say of a grant of the configuration.
_GRANT_HEADERS = {"READ": "x-amz-grant-read", "FULL_CONTROL": "x-amz-grant-full-control"}
_GRANTEES = {"ID": "id", "URI": "uri", "EmailAddress": "emailAddress"}

log = structlog.get_logger("cairn.access_log")


class AccessLogWriter:
    """An async context manager, within which lines are written every so often, and once more at its end."""

    def __init__(
        self,
        gathered: AccessLog,
        services: Services,
        *,
        interval_s: float,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._gathered = gathered
        self._services = services
        self._interval_s = interval_s
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="access log")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WRITE_TIMEOUT_S):
                await self.write()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._gathered.wake.wait()
            try:
                await self.write()
            except Exception:
                log.exception("access log not written")  # what is wrong with these lines shall not stop the next
            await asyncio.sleep(min(SHORTEST_PAUSE_S, self._interval_s))

    async def write(self) -> None:
        """Write all that was gathered; what cannot be written now is kept within bounds, what may not be is dropped."""
        set_cause(Cause(operation="PutObject", requester_id=LOGGING_SERVICE))
        taken = dict(self._gathered.take())
        try:
            while taken:
                group = next(iter(taken))
                await self._write_group(group, taken[group])
                del taken[group]
        finally:
            for group, lines in taken.items():
                self._gathered.put_back(group, lines)

    async def _write_group(self, group: LogGroup, lines: list[str]) -> None:
        try:
            await self._put(group, lines)
        except (S3Error, IndexRefusal) as refused:
            log.warning("access log dropped", bucket=group.source, lines=len(lines), reason=str(refused))
        except (IndexFailure, DataPathError) as failure:
            self._gathered.put_back(group, lines)
            log.warning("access log kept for later", bucket=group.source, lines=len(lines), reason=str(failure))

    async def _put(self, group: LogGroup, lines: list[str]) -> None:
        document = decode_document(group.document)
        target = parse_logging(document)
        if target is None:
            return
        source = await self._bucket(group.source)
        bucket = await self._bucket(target.bucket)
        now = self._clock()
        at = now if group.day is None else datetime.combine(group.day, time(), UTC)
        key = log_key(
            target,
            at=at,
            unique=secrets.token_hex(8).upper(),
            account_id=source.owner_id,
            region=source.region or self._services.settings.region,
            bucket=source.name,
        )
        if not may_deliver(source, bucket, key):
            raise S3Error("InvalidTargetBucketForLogging", TargetBucket=target.bucket)
        body = ("\n".join(lines) + "\n").encode()
        headers = _headers(document, bucket, body)
        await HANDLERS["PutObject"](await self._context(target, bucket, key, body, headers, now), {})

    async def _bucket(self, name: str) -> BucketRecord:
        try:
            return await self._services.index.get_bucket(name)
        except NoSuchBucket as missing:
            raise S3Error("NoSuchBucket", BucketName=name) from missing

    async def _context(
        self, target: LogTarget, bucket: BucketRecord, key: str, body: bytes, headers: Headers, now: datetime
    ) -> Context:
        """Of the PutObject that the target's owner would send."""
        request = S3Request(
            method="PUT",
            raw_path=b"/",
            raw_query=b"",
            headers=headers,
            secure=True,
            bucket=target.bucket,
            key=key,
            query=NO_PARAMS,
        )
        owner = await self._services.credentials.find_by_id(bucket.owner_id)
        if owner is None:
            owner = Identity(canonical_id=bucket.owner_id, display_name="", name="")
        sender = Sender(
            identity=owner,
            request=request,
            now=now,
            region=self._services.settings.region,
            client_address=None,
            claim=None,
        )

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body}

        receiver = Receiver(receive, idle_timeout_s=LAST_WRITE_TIMEOUT_S, has_body=True)
        return Context(
            request=request,
            request_id=secrets.token_hex(8).upper(),
            now=now,
            identity=owner,
            payload=build_payload(request, receiver, None, None),
            services=self._services,
            bucket=bucket,
            access=AccessCheck(sender),
        )


def _headers(document: dict[str, Any], bucket: BucketRecord, body: bytes) -> Headers:
    made = {"content-length": [str(len(body))], "content-type": ["text/plain"]}
    grants = document["LoggingEnabled"].get("TargetGrants") or []
    for grant in grants:
        header, grantee = _GRANT_HEADERS.get(grant.get("Permission", "")), grant.get("Grantee") or {}
        member = next((name for name in _GRANTEES if grantee.get(name)), None)
        if header is not None and member is not None:
            made.setdefault(header, []).append(f'{_GRANTEES[member]}="{grantee[member]}"')
    if len(made) > len(("content-length", "content-type")):
        made.setdefault("x-amz-grant-full-control", []).append(f'id="{bucket.owner_id}"')
    return Headers.from_raw([(name.encode(), ", ".join(values).encode()) for name, values in made.items()])
