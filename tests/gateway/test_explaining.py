"""gateway.explaining: refusals are kept in the background, and nothing that goes wrong there reaches a request."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from gateway.credentials import ROOT_CANONICAL_ID, Credential, Identity
from gateway.explaining import DIAGNOSES_A_BATCH, MOST_WAITING, Explainer, Refusal
from gateway.explanations import Explanation, Incident, decode_explanation
from gateway.index.errors import IndexUnavailable
from gateway.refusals import Decider, Reason, Refused
from s3compat.errors import S3Error
from s3compat.request import Headers, S3Request
from s3compat.signing import UNSIGNED_PAYLOAD
from s3compat.sigv4 import sign_request_headers

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SECRET = "a-secret-of-somebody"
DENIED = Refused(Reason(decider=Decider.ACL, text="so"))


class MemoryIndex:
    """Keeps explanations; fails as often as it is told to."""

    def __init__(self, failures: tuple[Exception, ...] = ()) -> None:
        self.kept: dict[str, bytes] = {}
        self.calls = 0
        self._failures = list(failures)

    async def put_explanations(self, explanations: list[tuple[str, bytes]]) -> None:
        self.calls += 1
        if self._failures:
            raise self._failures.pop(0)
        self.kept |= dict(explanations)

    def explanation(self, request_id: str) -> Explanation:
        return decode_explanation(self.kept[request_id])


class OneUser:
    """Knows one access key."""

    async def lookup(self, access_key: str) -> Credential | None:
        identity = Identity(canonical_id=ROOT_CANONICAL_ID, display_name="", name="u")
        return Credential(access_key="AK", secret_key=SECRET, identity=identity) if access_key == "AK" else None


def explainer(index: MemoryIndex) -> Explainer:
    return Explainer(cast(Any, index), cast(Any, OneUser()), region="us-east-1", gather_s=0)


def refused(
    request_id: str, failure: S3Error = DENIED, request: S3Request | None = None, further: tuple[Reason, ...] = ()
) -> Refusal:
    incident = Incident(
        request_id=request_id,
        time_ms=int(NOW.timestamp() * 1000),
        method="GET",
        path="/b/k",
        operation="GetObject",
        sender="",
        client_address="",
        status=403,
    )
    return Refusal(incident=incident, failure=failure, error=failure, request=request, further=further)


def mismatched() -> S3Request:
    """A request whose Host was changed on the way."""
    added = sign_request_headers(
        method="GET",
        raw_path=b"/b/k",
        raw_query=b"",
        headers=[("host", "public.example")],
        payload_hash=UNSIGNED_PAYLOAD,
        access_key="AK",
        secret_key=SECRET,
        region="us-east-1",
        timestamp=NOW,
    )
    arrived = Headers([("host", "backend"), ("x-forwarded-host", "public.example"), *added])
    return S3Request.build("GET", b"/b/k", b"", arrived, False, ())


async def test_refusals_are_kept_together() -> None:
    index = MemoryIndex()
    async with explainer(index) as explaining:
        for number in range(5):
            explaining.note(refused(f"R{number}"))
        await explaining.idle()
    assert (sorted(index.kept), index.calls) == ([f"R{number}" for number in range(5)], 1)
    assert index.explanation("R0").reason == DENIED.reason


async def test_mismatch_is_diagnosed_without_its_secrets() -> None:
    index, request = MemoryIndex(), mismatched()
    async with explainer(index) as explaining:
        explaining.note(refused("R", S3Error("SignatureDoesNotMatch", AWSAccessKeyId="AK"), request))
        await explaining.idle()
    assert "Host was signed as 'public.example'" in index.explanation("R").reason.text
    signature = (request.headers.get("authorization") or "").rpartition("=")[2]
    assert len(signature) == 64
    for secret in (SECRET.encode(), signature.encode()):
        assert secret not in index.kept["R"]


async def test_storm_of_mismatches_is_diagnosed_up_to_a_bound() -> None:
    index, request = MemoryIndex(), mismatched()
    async with explainer(index) as explaining:
        for number in range(DIAGNOSES_A_BATCH + 5):
            explaining.note(refused(f"R{number:03}", S3Error("SignatureDoesNotMatch"), request))
        await explaining.idle()
    diagnosed = ["Host was signed" in index.explanation(name).reason.text for name in sorted(index.kept)]
    assert diagnosed == [True] * DIAGNOSES_A_BATCH + [False] * 5


async def test_what_cannot_be_diagnosed_is_kept_all_the_same() -> None:
    index = MemoryIndex()
    broken = S3Request.build("GET", b"/b", b"", Headers([("host", "h"), ("authorization", "AWS4 x")]), False, ())
    async with explainer(index) as explaining:
        for request_id, request in (("A", None), ("B", broken)):
            explaining.note(refused(request_id, S3Error("SignatureDoesNotMatch"), request))
        await explaining.idle()
    assert [index.explanation(name).reason.decider for name in "AB"] == [Decider.SIGNATURE] * 2


async def test_keys_of_one_request_are_all_named() -> None:
    reasons = tuple([Reason(decider=Decider.ACL, text="so", resource=f"arn:{number}") for number in range(3)])
    index = MemoryIndex()
    async with explainer(index) as explaining:
        explaining.note(refused("R", further=reasons))
        await explaining.idle()
    assert index.explanation("R").reason == reasons[0]
    assert index.explanation("R").also == ("arn:1: ACL, so", "arn:2: ACL, so")


@pytest.mark.parametrize("failure", [IndexUnavailable("away", maybe_applied=False), ValueError("a bug")])
async def test_failure_loses_its_batch_and_nothing_else(failure: Exception) -> None:
    index = MemoryIndex((failure,))
    async with explainer(index) as explaining:
        explaining.note(refused("LOST"))
        await explaining.idle()
        explaining.note(refused("KEPT"))
        await explaining.idle()
    assert list(index.kept) == ["KEPT"]


async def test_of_too_many_the_newest_are_kept() -> None:
    index = MemoryIndex()
    async with explainer(index) as explaining:
        for number in range(MOST_WAITING + 1):
            explaining.note(refused(f"R{number}"))
        await explaining.idle()
    assert len(index.kept) == MOST_WAITING
    assert "R0" not in index.kept


async def test_what_waits_at_the_end_is_kept_and_what_comes_later_is_not() -> None:
    index = MemoryIndex()
    async with explainer(index) as explaining:
        explaining.note(refused("LAST"))
    explaining.note(refused("LATER"))
    await asyncio.sleep(0)
    assert list(index.kept) == ["LAST"]
