"""`cairn bucket quota`: limits as people write them, and the refusal that clients get."""

import pytest
from botocore.exceptions import ClientError

from gateway.bucket_commands import parse_limit
from gateway.cli_options import CommandRefused
from tests.harness.cairn import CairnServer
from tests.interop.support import run_cairn


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("none", None),
        ("0", 0),
        ("500", 500),
        ("5k", 5000),
        ("5kB", 5000),
        ("500MB", 500_000_000),
        ("20GiB", 20 * 1024**3),
        ("1 TiB", 1024**4),
    ],
)
def test_limits_are_read(text: str, limit: int | None) -> None:
    assert parse_limit(text) == limit


@pytest.mark.parametrize("text", ["", "-1", "1.5G", "GiB", "5X", "1e3"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(CommandRefused):
        parse_limit(text)


def test_a_quota_is_set_shown_and_kept(cairn: CairnServer) -> None:
    s3 = cairn.client()
    s3.create_bucket(Bucket="quota-command")
    shown = run_cairn(cairn, "bucket", "quota", "quota-command", "--bytes", "1kB", "--objects", "2")
    assert "0 of 1000" in shown
    s3.put_object(Bucket="quota-command", Key="a", Body=b"x" * 600)
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket="quota-command", Key="b", Body=b"x" * 600)
    assert refused.value.response["Error"]["Code"] == "QuotaExceeded"
    shown = run_cairn(cairn, "bucket", "quota", "quota-command", "--bytes", "none")
    assert "600 of any number" in shown
    assert "1 of 2" in shown
    s3.put_object(Bucket="quota-command", Key="b", Body=b"x" * 600)
