"""What a handler gets and gives: the context of one request, the services behind it, the answer.

No starlette, redis or aiohttp here: handlers know operations, the index and the data path, not transports.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.access_log import AccessLog
from gateway.authorization import AccessCheck, Found
from gateway.credentials import CredentialStore, Identity
from gateway.datapath import DataPath
from gateway.encryption.envelope import Envelopes
from gateway.explaining import Explainer
from gateway.index.records import BucketRecord
from gateway.index.store import Index
from gateway.journal.journal import Journal
from gateway.payload import Payload
from gateway.placement.membership import Membership
from gateway.settings import GatewaySettings
from s3compat.errors import S3Error
from s3compat.request import S3Request
from s3compat.serialization import RenderedResponse

#: Input and output of an operation under AWS's own member names, as the service model has them.
Input = dict[str, Any]
Output = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What lives as long as the process."""

    settings: GatewaySettings
    index: Index
    datapath: DataPath
    membership: Membership
    credentials: CredentialStore
    journal: Journal
    envelopes: Envelopes
    explainer: Explainer | None = None
    """Remembers why requests were refused."""
    access_log: AccessLog | None = None
    """Gathers the lines of server access logs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One authenticated and authorized request; ``now`` is UTC-aware and the only clock that handlers use."""

    request: S3Request
    request_id: str
    now: datetime
    identity: Identity
    payload: Payload
    services: Services
    bucket: BucketRecord | None
    access: AccessCheck
    found: Found | None = None
    """The object that was read to decide the request, of the operations that are on one."""

    @property
    def now_ms(self) -> int:
        """``now`` in milliseconds since the epoch."""
        return int(self.now.timestamp() * 1000)

    @property
    def index(self) -> Index:
        """The index of objects."""
        return self.services.index

    @property
    def datapath(self) -> DataPath:
        """The way to the bytes."""
        return self.services.datapath

    @property
    def target_bucket(self) -> BucketRecord:
        """The bucket that the request addresses, which the pipeline has found and authorized."""
        if self.bucket is None:
            raise S3Error("NoSuchBucket", BucketName=self.request.bucket or "")
        return self.bucket

    @property
    def key(self) -> str:
        """The key that the request addresses."""
        if self.request.key is None:
            raise S3Error("InvalidRequest", "The request names no key.")
        return self.request.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a handler returns: output members for the headers and the XML, and a body where there is one."""

    output: Output = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    """Headers sent as they are: what the object keeps, in the latin-1 form in which the client gave it."""
    body: AsyncIterator[bytes] | None = None
    rendered: RenderedResponse | None = None
    """The whole answer of what the service model does not know: POST forms and CORS preflights."""


Handler = Callable[[Context, Input], Awaitable[Answer]]
