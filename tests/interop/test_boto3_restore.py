"""RestoreObject through boto3."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

WANTED = {"Days": 1, "GlacierJobParameters": {"Tier": "Standard"}}


def test_an_archived_object_is_there_already(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"kept", StorageClass="GLACIER")
    answer = s3.restore_object(Bucket=bucket, Key="k", RestoreRequest=WANTED)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"kept"


@pytest.mark.parametrize(
    ("key", "request_", "code"),
    [
        ("standard", WANTED, "InvalidObjectState"),
        ("missing", WANTED, "NoSuchKey"),
        ("archived", {"Days": 0}, "InvalidArgument"),
    ],
)
def test_other_requests_are_refused(s3: Any, bucket: str, key: str, request_: dict[str, Any], code: str) -> None:
    s3.put_object(Bucket=bucket, Key="standard", Body=b"")
    s3.put_object(Bucket=bucket, Key="archived", Body=b"", StorageClass="DEEP_ARCHIVE")
    with pytest.raises(ClientError) as refused:
        s3.restore_object(Bucket=bucket, Key=key, RestoreRequest=request_)
    assert refused.value.response["Error"]["Code"] == code
