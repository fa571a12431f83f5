"""Which errors are sure and which leave the outcome open."""

from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    FlexibleChecksumError,
    ReadTimeoutError,
)

from tests.storm.history import Outcome
from tests.storm.outcomes import ending_of


def refusal(status: int, code: str, operation: str = "PutObject") -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)


CASES: dict[str, tuple[Exception, Outcome]] = {
    "precondition": (refusal(412, "PreconditionFailed"), Outcome.REFUSED),
    "no such key": (refusal(404, "NoSuchKey"), Outcome.NOTHING_THERE),
    "no such key of a HEAD": (refusal(404, "404", "HeadObject"), Outcome.NOTHING_THERE),
    "other refusal": (refusal(409, "ConditionalRequestConflict"), Outcome.FAILED),
    "no such bucket": (refusal(404, "NoSuchBucket"), Outcome.FAILED),
    "slow down": (refusal(503, "SlowDown"), Outcome.UNKNOWN),
    "internal error": (refusal(500, "InternalError"), Outcome.UNKNOWN),
    "answer that broke off behind its head": (refusal(404, "404", "GetObject"), Outcome.UNKNOWN),
    "never sent": (EndpointConnectionError(endpoint_url="x"), Outcome.FAILED),
    "no answer": (ConnectionClosedError(endpoint_url="x"), Outcome.UNKNOWN),
    "no answer in time": (ReadTimeoutError(endpoint_url="x"), Outcome.UNKNOWN),
}


@pytest.mark.parametrize("name", CASES)
def test_what_an_error_says_about_the_effect(name: str) -> None:
    error, outcome = CASES[name]
    assert ending_of(error).outcome is outcome


@pytest.mark.parametrize(
    ("error", "operation", "wrong"),
    [
        (refusal(404, "NoSuchBucket"), "put_object", True),
        (refusal(404, "NoSuchUpload"), "complete_multipart_upload", True),
        (refusal(403, "AccessDenied"), "get_object", True),
        (refusal(500, "InternalError"), "get_object", True),
        (FlexibleChecksumError(error_msg="x"), "get_object", True),
        (refusal(404, "NoSuchKey"), "get_object", False),
        (refusal(503, "ServiceUnavailable"), "get_object", False),
        (refusal(412, "PreconditionFailed"), "put_object", False),
        (ConnectionClosedError(endpoint_url="x"), "put_object", False),
    ],
)
def test_which_answers_no_fault_excuses(error: Exception, operation: str, wrong: bool) -> None:
    assert ending_of(error).is_anomaly_of(operation) is wrong
