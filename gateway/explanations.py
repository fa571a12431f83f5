"""What is kept of a refused request, so that an administrator can be told why: no secrets, no signatures. Pure.

The stored form is msgpack [format, {field: value}]; unknown fields of a newer release are left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

import msgpack

from gateway.index.errors import ObjectLocked
from gateway.refusals import Decider, Reason, Refused, locked
from s3compat.errors import S3Error
from s3compat.httpdate import parse_http_date
from s3compat.signature_diagnosis import Diagnosis

_FORMAT = 1
_CLOCK_HINT = "Set the clock of whichever is wrong; machines that slept or were restored are the usual ones."
#: What decided, where the code of the error alone tells it.
_BY_CODE: Mapping[str, tuple[Decider, str]] = {
    "AccessForbidden": (Decider.CORS, "no rule of the bucket's CORS configuration is for this request"),
    "InvalidAccessKeyId": (Decider.ACCESS_KEY, "no user has this access key"),
    "QuotaExceeded": (Decider.QUOTA, "the bucket would hold more than its quota allows (cairn bucket quota)"),
    "SignatureDoesNotMatch": (Decider.SIGNATURE, "the signature is not the one of the request that arrived"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One refused request, as the endpoint knows it. `path` is as it was sent, without the query."""

    request_id: str
    time_ms: int
    method: str
    path: str
    operation: str
    sender: str
    client_address: str
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why the request of one incident was refused. `also` are further reasons: of other keys, or suspected ones."""

    incident: Incident
    code: str
    reason: Reason
    also: tuple[str, ...] = ()


def reason_of_failure(failure: Exception, error: S3Error) -> Reason:
    """What decided, as far as the failure itself tells; `error` is what the client was answered."""
    if isinstance(failure, Refused):
        return failure.reason
    if isinstance(failure, ObjectLocked):
        return locked()
    if error.code == "RequestTimeTooSkewed":
        return _skewed(error)
    if "HeadersNotSigned" in error.elements:
        text = f"headers that are not signed: {error.elements['HeadersNotSigned'][:200]}"
        hint = "A proxy adds them; S3 wants every x-amz- header signed."
        return Reason(decider=Decider.SIGNATURE, text=text, hints=(hint,))
    if "Expires" in error.elements or error.message == "Request is not valid yet":
        return Reason(decider=Decider.CLOCK, text=f"the presigned URL: {error.message}", hints=(_CLOCK_HINT,))
    decider, text = _BY_CODE.get(error.code, (Decider.OPERATION, error.message))
    return Reason(decider=decider, text=text)


def of_signature(reason: Reason, diagnosis: Diagnosis) -> tuple[Reason, tuple[str, ...]]:
    """A reason with what was found out about the signature: what is proven in its text, the rest beside it."""
    if not diagnosis.differences:
        return reason, tuple([f"perhaps: {text}" for text in diagnosis.suspicions])
    text = "; ".join([str(difference) for difference in diagnosis.differences])
    return Reason(decider=Decider.SIGNATURE, text=f"{reason.text}: {text}"), ()


def _skewed(error: S3Error) -> Reason:
    sent, now = error.elements.get("RequestTime", "?"), error.elements.get("ServerTime", "?")
    text = f"the request is of {sent}, the gateway's clock says {now}"
    moments = [parse_http_date(moment) for moment in (sent, now)]
    if moments[0] is not None and moments[1] is not None:
        minutes = (moments[0] - moments[1]).total_seconds() / 60
        text += f": the client's clock is {abs(minutes):.0f} minutes {'ahead' if minutes > 0 else 'behind'}"
    return Reason(decider=Decider.CLOCK, text=text, hints=(_CLOCK_HINT,))


def encode_explanation(explanation: Explanation) -> bytes:
    """The stored form."""
    packed: bytes = msgpack.packb((_FORMAT, asdict(explanation)), default=str)
    return packed


def decode_explanation(stored: bytes) -> Explanation:
    """The inverse of `encode_explanation`. Raises ExplanationUnreadable."""
    try:
        number, found = msgpack.unpackb(stored)
        if number != _FORMAT:
            raise ValueError(f"format {number}")
        reason = _known(Reason, found["reason"])
        reason["hints"] = tuple(reason.get("hints", ()))
        return Explanation(
            incident=Incident(**_known(Incident, found["incident"])),
            code=found["code"],
            reason=Reason(**(reason | {"decider": Decider(reason["decider"])})),
            also=tuple(found["also"]),
        )
    except (ValueError, TypeError, LookupError, AttributeError, msgpack.UnpackException) as error:
        raise ExplanationUnreadable(f"an explanation of another release cannot be read: {error}") from error


class ExplanationUnreadable(Exception):
    """A stored explanation is not of this release's format."""


def _known(kind: type, found: Mapping[str, Any]) -> dict[str, Any]:
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in found.items() if name in names}


def document_of(explanation: Explanation) -> dict[str, object]:
    """For programs: one JSON document."""
    incident, reason = explanation.incident, explanation.reason
    return {
        **asdict(incident),
        "code": explanation.code,
        "decided_by": reason.decider.value,
        "because": reason.text,
        "action": reason.action,
        "resource": reason.resource,
        "statement": reason.statement or None,
        "sid": reason.sid,
        "hints": list(reason.hints),
        "also": list(explanation.also),
    }


def lines_of(explanation: Explanation) -> Iterator[str]:
    """For people."""
    incident, reason = explanation.incident, explanation.reason
    moment = datetime.fromtimestamp(incident.time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    yield f"{moment}  {incident.method} {incident.path}  {incident.operation}  {incident.status} {explanation.code}"
    yield f"sender     {incident.sender} from {incident.client_address or 'an unknown address'}"
    yield f"decided by {reason.decider.value}"
    yield f"because    {reason.text}"
    if reason.action:
        yield f"action     {reason.action} on {reason.resource}"
    if reason.statement:
        yield f"statement  {reason.statement}{f' ({reason.sid})' if reason.sid else ''}"
    for text in (*explanation.also, *reason.hints):
        yield f"           {text}"
