"""Failures below become S3 errors at one place."""

import pytest

from gateway.datapath.errors import BytesUnavailable, DataPathError, NotEnoughNodes, WriteFailed
from gateway.index.errors import (
    ConditionFailed,
    IndexFailure,
    IndexFault,
    IndexNotOpen,
    IndexUnavailable,
    NoSuchBucket,
    WriteCondemned,
)
from gateway.translation import to_s3_error


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (IndexUnavailable("away", maybe_applied=True), "ServiceUnavailable"),
        (IndexNotOpen("being recovered"), "ServiceUnavailable"),
        (BytesUnavailable("blob", offset=0, reasons="none"), "ServiceUnavailable"),
        (NotEnoughNodes(available=1, needed=2), "SlowDown"),
        (WriteFailed("no majority"), "SlowDown"),
        (WriteCondemned("too late"), "SlowDown"),
    ],
)
def test_what_may_work_later_says_when_to_come_back(failure: IndexFailure | DataPathError, code: str) -> None:
    error = to_s3_error(failure)

    assert (error.code, error.status) == (code, 503)
    assert int(error.headers["Retry-After"]) > 0


def test_refusals_have_codes_and_names() -> None:
    assert to_s3_error(NoSuchBucket("photos/key")).code == "NoSuchBucket"
    assert to_s3_error(ConditionFailed("photos/key", condition="If-Match")).code == "PreconditionFailed"
    assert to_s3_error(IndexFault("a defect")).code == "InternalError"
