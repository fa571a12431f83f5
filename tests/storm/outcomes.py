"""What an answer, or none, says about the effect of a request. Nothing else of the storm looks at errors.

4xx is sure: the request had no effect. 5xx and broken connections leave it open. A connection that could not even be
made has sent nothing.
"""

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    FlexibleChecksumError,
)

from tests.storm.history import Outcome

#: Whatever a call of boto3 raises when the server, or the way to it, is at fault.
TRANSPORT_ERRORS = (BotoCoreError, ClientError)

_NOTHING_THERE = frozenset({"NoSuchKey", "NoSuchVersion", "404"})
#: Refusals that the storm's requests may meet; any other 4xx is wrong, such as NoSuchBucket.
_EXPECTED = {
    "put_object": frozenset({"PreconditionFailed", "NoSuchKey", "ConditionalRequestConflict"}),
    "get_object": frozenset({"NoSuchKey", "NoSuchVersion"}),
    "head_object": frozenset({"404"}),
    "copy_object": frozenset({"NoSuchKey"}),
    "complete_multipart_upload": frozenset({"ConditionalRequestConflict"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a request ended."""

    outcome: Outcome
    code: str = ""
    status: int = 0
    never_sent: bool = False
    is_wrong_bytes: bool = False
    """The body does not match the checksum in the same answer."""

    def is_anomaly_of(self, operation: str) -> bool:
        """Whether no fault excuses this answer: a refusal out of place, or an internal error."""
        if self.is_wrong_bytes:
            return True
        is_refusal = 400 <= self.status < 500
        return (is_refusal and self.code not in _EXPECTED.get(operation, ())) or self.code == "InternalError"


def ending_of(error: Exception) -> Ending:
    """Of one of TRANSPORT_ERRORS."""
    if isinstance(error, ClientError):
        answer: Any = error.response
        code = answer["Error"].get("Code", "")
        if code.isdigit() and error.operation_name != "HeadObject":
            # botocore found no document: the gateway died between the head and the body of its answer.
            return Ending(outcome=Outcome.UNKNOWN, code=f"broken {code}")
        return _ending_of_answer(answer["ResponseMetadata"]["HTTPStatusCode"], code)
    code = type(error).__name__
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        return Ending(outcome=Outcome.FAILED, code=code, never_sent=True)
    return Ending(outcome=Outcome.UNKNOWN, code=code, is_wrong_bytes=isinstance(error, FlexibleChecksumError))


def _ending_of_answer(status: int, code: str) -> Ending:
    if status == 412:
        outcome = Outcome.REFUSED
    elif status == 404 and code in _NOTHING_THERE:
        outcome = Outcome.NOTHING_THERE
    elif 400 <= status < 500:
        outcome = Outcome.FAILED
    else:
        outcome = Outcome.UNKNOWN
    return Ending(outcome=outcome, code=code, status=status)
