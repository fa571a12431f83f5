"""Remembers why requests were refused, in the background: no request waits for that, and none fails by it.

What there is too much of, or comes while the index is away, is not remembered.
"""

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import structlog

from gateway.credentials import CredentialStore, SecretUnreadable
from gateway.explanations import Explanation, Incident, encode_explanation, of_signature, reason_of_failure
from gateway.index.errors import IndexFailure
from gateway.index.store import Index
from gateway.refusals import Decider, Reason
from s3compat import sigv4
from s3compat.errors import S3Error
from s3compat.request import S3Request
from s3compat.signature_diagnosis import Diagnosis, diagnose

MOST_WAITING = 200
GATHER_S = 0.25
"""So that a storm of refusals takes few calls of the index."""

DIAGNOSES_A_BATCH = 10
"""Each takes a millisecond of the process, ten for the largest heads: bad signatures must not slow the good ones."""

CLOSE_TIMEOUT_S = 2.0
"""For what still waits at the end of the process."""

log = structlog.get_logger("cairn.gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What the endpoint hands over. The request holds secrets and stays in memory."""

    incident: Incident
    failure: Exception = field(repr=False)
    error: S3Error
    request: S3Request | None
    further: tuple[Reason, ...] = ()


class Explainer:
    """Takes refusals; an async context manager, within which they are explained and kept."""

    def __init__(self, index: Index, credentials: CredentialStore, *, region: str, gather_s: float = GATHER_S) -> None:
        self._index = index
        self._credentials = credentials
        self._region = region
        self._gather_s = gather_s
        self._waiting: deque[Refusal] = deque(maxlen=MOST_WAITING)
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def note(self, refusal: Refusal) -> None:
        """Take note; never blocks and never fails. Of too many the oldest go."""
        if self._task is None:
            return
        self._waiting.append(refusal)
        self._idle.clear()
        self._wake.set()

    async def idle(self) -> None:
        """Wait until everything noted so far is explained, or given up."""
        await self._idle.wait()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="explanations")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self.idle()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(self._gather_s)
            batch = list(self._waiting)
            self._waiting.clear()
            self._wake.clear()
            try:
                await self._keep(batch)
            except IndexFailure as error:
                log.debug("refusals not explained", count=len(batch), error=str(error))
            except Exception:
                log.exception("refusals not explained")  # what is wrong with this batch shall not stop the next
            if not self._waiting:
                self._idle.set()

    async def _keep(self, batch: list[Refusal]) -> None:
        explained: list[tuple[str, bytes]] = []
        diagnoses = 0
        for refusal in batch:
            mismatch = refusal.error.code == "SignatureDoesNotMatch"
            diagnoses += mismatch
            explanation = await self._explain(refusal, with_signature=mismatch and diagnoses <= DIAGNOSES_A_BATCH)
            explained.append((explanation.incident.request_id, encode_explanation(explanation)))
            await asyncio.sleep(0)
        await self._index.put_explanations(explained)

    async def _explain(self, refusal: Refusal, *, with_signature: bool) -> Explanation:
        reason = refusal.further[0] if refusal.further else reason_of_failure(refusal.failure, refusal.error)
        also = tuple([f"{one.resource}: {one.decider.value}, {one.text}" for one in refusal.further[1:]])
        diagnosis = await self._diagnose(refusal) if with_signature else None
        if diagnosis is not None:
            reason, also = of_signature(reason, diagnosis)
        elif reason.decider is Decider.ACCESS_KEY:
            also = (f"the access key is {refusal.error.elements.get('AWSAccessKeyId', '')[:128]}",)
        return Explanation(incident=refusal.incident, code=refusal.error.code, reason=reason, also=also)

    async def _diagnose(self, refusal: Refusal) -> Diagnosis | None:
        """None for signatures of Version 2 and of forms, which are over little that can change on the way."""
        request = refusal.request
        if request is None:
            return None
        try:
            moment = datetime.fromtimestamp(refusal.incident.time_ms / 1000, UTC)
            claim = sigv4.parse_claim(request, moment, region=self._region)
            credential = None if claim is None else await self._credentials.lookup(claim.access_key)
        except (S3Error, SecretUnreadable):
            return None
        if claim is None or credential is None:
            return None
        return diagnose(claim, request, credential.secret_key)
