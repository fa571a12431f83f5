"""gateway.explanations: what is kept of a refusal, for each kind of failure, and that it comes back as it was."""

import json

import msgpack
import pytest

from gateway.explanations import (
    Explanation,
    ExplanationUnreadable,
    Incident,
    decode_explanation,
    document_of,
    encode_explanation,
    lines_of,
    of_signature,
    reason_of_failure,
)
from gateway.index.errors import ObjectLocked
from gateway.refusals import Decider, Reason, Refused
from s3compat.errors import S3Error
from s3compat.signature_diagnosis import Diagnosis, Difference

REASON = Reason(
    decider=Decider.BUCKET_POLICY,
    text="a statement denies it",
    action="s3:GetObject",
    resource="arn:aws:s3:::b/k",
    statement=2,
    sid="No",
    hints=("look there",),
)
INCIDENT = Incident(
    request_id="ABCDEF",
    time_ms=1_767_312_000_000,
    method="GET",
    path="/b/k",
    operation="GetObject",
    sender="max (id)",
    client_address="192.0.2.1",
    status=403,
)
EXPLANATION = Explanation(incident=INCIDENT, code="AccessDenied", reason=REASON, also=("more",))


def test_explanation_comes_back_as_it_was() -> None:
    assert decode_explanation(encode_explanation(EXPLANATION)) == EXPLANATION


def test_fields_of_a_newer_release_are_left_out() -> None:
    number, found = msgpack.unpackb(encode_explanation(EXPLANATION))
    found["reason"]["colour"] = found["incident"]["weather"] = "x"
    assert decode_explanation(msgpack.packb((number, found))) == EXPLANATION


@pytest.mark.parametrize("stored", [b"", b"\xc1", b"\x92\x01\xc0", msgpack.packb((2, {})), msgpack.packb((1, {}))])
def test_what_is_no_explanation_is_refused(stored: bytes) -> None:
    with pytest.raises(ExplanationUnreadable):
        decode_explanation(stored)


def test_shown_to_people_and_programs() -> None:
    assert list(lines_of(EXPLANATION)) == [
        "2026-01-02T00:00:00Z  GET /b/k  GetObject  403 AccessDenied",
        "sender     max (id) from 192.0.2.1",
        "decided by bucket policy",
        "because    a statement denies it",
        "action     s3:GetObject on arn:aws:s3:::b/k",
        "statement  2 (No)",
        "           more",
        "           look there",
    ]
    document = json.loads(json.dumps(document_of(EXPLANATION)))
    assert (document["decided_by"], document["statement"], document["request_id"]) == ("bucket policy", 2, "ABCDEF")


def skewed(request_time: str) -> S3Error:
    return S3Error("RequestTimeTooSkewed", RequestTime=request_time, ServerTime="2026-01-02T00:30:00Z")


@pytest.mark.parametrize(
    ("failure", "decider", "words"),
    [
        (Refused(REASON), Decider.BUCKET_POLICY, "denies"),
        (ObjectLocked("b/k"), Decider.OBJECT_LOCK, "retention or under legal hold"),
        (skewed("20260102T000000Z"), Decider.CLOCK, "30 minutes behind"),
        (skewed("20260102T010000Z"), Decider.CLOCK, "30 minutes ahead"),
        (skewed("yesterday"), Decider.CLOCK, "of yesterday"),
        (S3Error("AccessDenied", "Request has expired", Expires="x"), Decider.CLOCK, "expired"),
        (S3Error("AccessDenied", HeadersNotSigned="x-amz-b"), Decider.SIGNATURE, "x-amz-b"),
        (S3Error("SignatureDoesNotMatch"), Decider.SIGNATURE, "not the one"),
        (S3Error("InvalidAccessKeyId"), Decider.ACCESS_KEY, "no user"),
        (S3Error("AccessForbidden"), Decider.CORS, "CORS"),
        (S3Error("QuotaExceeded"), Decider.QUOTA, "quota"),
        (S3Error("AccessDenied", "Mfa Authentication must be used"), Decider.OPERATION, "Mfa"),
    ],
)
def test_reason_of_each_failure(failure: Exception, decider: Decider, words: str) -> None:
    error = failure if isinstance(failure, S3Error) else S3Error("AccessDenied")
    reason = reason_of_failure(failure, error)
    assert reason.decider is decider
    assert words in reason.text


def test_signature_with_its_diagnosis() -> None:
    plain = reason_of_failure(S3Error("SignatureDoesNotMatch"), S3Error("SignatureDoesNotMatch"))
    proven = Difference(where="Host", signed="a", received="b", culprit="a proxy")
    reason, also = of_signature(plain, Diagnosis(differences=(proven,)))
    assert "Host was signed as 'a' and arrived as 'b': a proxy" in reason.text
    assert also == ()
    assert of_signature(plain, Diagnosis(suspicions=("x",))) == (plain, ("perhaps: x",))
