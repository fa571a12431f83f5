"""Server access logging through boto3: who may be a target, and what is written there."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from tests.harness.cairn import CairnServer
from tests.interop.support import add_user, refusal

PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CairnServer]:
    environment = {"CAIRN_ACCESS_LOG_INTERVAL_S": "0.3"}
    with CairnServer.start(tmp_path_factory.mktemp("logging") / "cairn", env=environment) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: CairnServer) -> Iterator[Any]:
    made = server.client()
    for name in ("source", "logs", "closed"):
        made.create_bucket(Bucket=name)
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::logs/*",
        "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::source"}},
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    made.put_bucket_policy(Bucket="logs", Policy=json.dumps(policy))
    yield made
    made.close()


def log_to(client: Any, bucket: str, **more: Any) -> dict[str, Any]:
    enabled = {"TargetBucket": bucket, "TargetPrefix": "to/", **more}
    return {"Bucket": "source", "BucketLoggingStatus": {"LoggingEnabled": enabled}}


def lines_with(client: Any, bucket: str, prefix: str, *wanted: str) -> list[str]:
    """The lines of the log objects, once each of the texts is in one of them."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        keys = [one["Key"] for one in client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]
        texts = [client.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in keys]
        lines = [line for text in texts for line in text.splitlines()]
        if all(any(text in line for line in lines) for text in wanted):
            return lines
        assert time.monotonic() < deadline, lines
        time.sleep(0.1)


def test_requests_are_logged_in_the_target_bucket(server: CairnServer, client: Any) -> None:
    assert "LoggingEnabled" not in client.get_bucket_logging(Bucket="source")
    client.put_bucket_logging(**log_to(client, "logs"))
    enabled = client.get_bucket_logging(Bucket="source")["LoggingEnabled"]
    assert enabled == {"TargetBucket": "logs", "TargetPrefix": "to/"}
    client.put_object(Bucket="source", Key="a b", Body=b"four")
    client.get_object(Bucket="source", Key="a b")["Body"].read()
    assert refusal(client.get_object, Bucket="source", Key="missing").code == "NoSuchKey"
    urllib3.request("GET", f"{server.endpoint}/source/a%20b", headers={"user-agent": 'x" y'}, timeout=30.0)

    wanted = ("REST.PUT.OBJECT a%20b", "REST.GET.OBJECT a%20b", "NoSuchKey", "AccessDenied")
    lines = lines_with(client, "logs", "to/", *wanted)

    found = next(line for line in lines if "REST.GET.OBJECT a%20b" in line and " 200 " in line)
    assert found.split()[1] == "source"
    assert '"GET /source/a%20b HTTP/1.1" 200 - 4 4 ' in found
    assert found.split('"')[-1].split()[2:5:2] == ["SigV4", "AuthHeader"]
    refused = next(line for line in lines if "AccessDenied" in line)
    assert '"x\\x22 y"' in refused
    assert refused.split()[5] == "-"  # nobody signed it


def test_logs_may_be_partitioned(client: Any) -> None:
    by_event = {"PartitionedPrefix": {"PartitionDateSource": "EventTime"}}
    client.put_bucket_logging(**log_to(client, "logs", TargetPrefix="day/", TargetObjectKeyFormat=by_event))
    client.put_object(Bucket="source", Key="partitioned", Body=b"x")

    lines_with(client, "logs", "day/", "REST.PUT.OBJECT partitioned")

    keys = [one["Key"] for one in client.list_objects_v2(Bucket="logs", Prefix="day/")["Contents"]]
    owner = client.list_buckets()["Owner"]["ID"]
    assert all(key.startswith(f"day/{owner}/us-east-1/source/20") and "-00-00-00-" in key for key in keys)


def test_an_acl_lets_logs_be_delivered_where_acls_count(client: Any) -> None:
    client.create_bucket(Bucket="acl-logs", ObjectOwnership="BucketOwnerPreferred")
    assert refusal(client.put_bucket_logging, **log_to(client, "acl-logs")).code == "InvalidTargetBucketForLogging"
    client.put_bucket_acl(Bucket="acl-logs", ACL="log-delivery-write")
    grant = {
        "Grantee": {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"},
        "Permission": "READ",
    }
    client.put_bucket_logging(**log_to(client, "acl-logs", TargetGrants=[grant]))
    client.put_object(Bucket="source", Key="by acl", Body=b"x")

    lines_with(client, "acl-logs", "to/", "REST.PUT.OBJECT by%20acl")

    key = client.list_objects_v2(Bucket="acl-logs")["Contents"][0]["Key"]
    grants = client.get_object_acl(Bucket="acl-logs", Key=key)["Grants"]
    assert {one["Permission"] for one in grants} == {"READ", "FULL_CONTROL"}


def test_a_target_that_cannot_be_one_is_refused(server: CairnServer, client: Any) -> None:
    client.put_bucket_logging(Bucket="source", BucketLoggingStatus={})
    other = add_user(server, "olga")
    theirs = server.client_for(other.access_key, other.secret_key)
    theirs.create_bucket(Bucket="theirs")
    theirs.close()

    for target in ("nowhere", "closed", "theirs"):
        refused = refusal(client.put_bucket_logging, **log_to(client, target))
        assert (refused.code, refused.status) == ("InvalidTargetBucketForLogging", 400)
    grants = [{"Grantee": {"Type": "CanonicalUser", "ID": other.canonical_id}, "Permission": "READ"}]
    refused = refusal(client.put_bucket_logging, **log_to(client, "logs", TargetGrants=grants))
    assert refused.code == "AccessControlListNotSupported"
    assert "LoggingEnabled" not in client.get_bucket_logging(Bucket="source")
