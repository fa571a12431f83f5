"""Notification configurations through boto3, and events as a webhook gets them from a running worker."""

import hashlib
import hmac
import json
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.harness.cairn import CairnServer
from tests.interop.support import run_cairn

PATIENCE_S = 30.0


@dataclass(slots=True)
class Webhook:
    """A server that takes whatever is posted to it."""

    url: str
    posted: queue.Queue[tuple[dict[str, str], bytes]] = field(default_factory=queue.Queue)

    def next(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.posted.get(timeout=PATIENCE_S)[1])
        return document

    def records(self, count: int) -> list[dict[str, Any]]:
        """The next so many records, with the tests in between left out."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            found += self.next().get("Records", [])
        return found


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    made = Webhook(url="")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.posted.put(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}/events"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def target(cairn: CairnServer, webhook: Webhook) -> str:
    """The ARN of a declared target."""
    return run_cairn(cairn, "target", "add", "hook", "--webhook", webhook.url, "--secret", "hush").strip()


def configure(s3: Any, bucket: str, *rules: dict[str, Any]) -> None:
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": list(rules)}
    )


def test_a_configuration_is_kept_and_given_back(s3: Any, bucket: str, target: str) -> None:
    rule = {
        "Id": "images",
        "QueueArn": target,
        "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:Delete"],
        "Filter": {"Key": {"FilterRules": [{"Name": "Prefix", "Value": "a/"}, {"Name": "suffix", "Value": ".jpg"}]}},
    }
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)
    configure(s3, bucket, rule)

    assert s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"] == [rule]
    configure(s3, bucket)
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)


def test_a_target_that_nobody_declared_is_refused(s3: Any, bucket: str, target: str) -> None:
    nobody = "arn:cairn:webhook:::nobody"
    with pytest.raises(ClientError, match="Unable to validate the following destination configurations") as refused:
        configure(s3, bucket, {"QueueArn": nobody, "Events": ["s3:ObjectCreated:*"]})
    assert refused.value.response["Error"]["Code"] == "InvalidArgument"
    assert refused.value.response["Error"]["ArgumentName"] == nobody
    with pytest.raises(ClientError, match="NotImplemented"):
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )


def test_a_webhook_hears_of_what_happens_in_order_and_signed(
    s3: Any, bucket: str, target: str, webhook: Webhook
) -> None:
    rules = {"QueueArn": "arn:aws:sqs:us-east-1:123456789012:hook", "Id": "all"}
    events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*"]
    only_these = {"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}]}}
    s3.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={"QueueConfigurations": [{**rules, "Events": events, "Filter": only_these}]},
    )
    etag = s3.put_object(Bucket=bucket, Key="in/a b+ü", Body=b"four")["ETag"]
    s3.put_object(Bucket=bucket, Key="out", Body=b"x")
    s3.copy_object(Bucket=bucket, Key="in/copy", CopySource={"Bucket": bucket, "Key": "in/a b+ü"})
    s3.put_object_tagging(Bucket=bucket, Key="in/copy", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="in/parts")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="in/parts", UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="in/parts", UploadId=upload, MultipartUpload=parts)
    s3.delete_object(Bucket=bucket, Key="in/copy")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    marker = s3.delete_object(Bucket=bucket, Key="in/parts")["VersionId"]

    while (probe := webhook.next()).get("Bucket") != bucket:
        pass  # what another test has left
    records = webhook.records(6)

    assert (probe["Event"], probe["Service"]) == ("s3:TestEvent", "Amazon S3")
    assert [record["eventName"] for record in records] == [
        "ObjectCreated:Put",
        "ObjectCreated:Copy",
        "ObjectTagging:Put",
        "ObjectCreated:CompleteMultipartUpload",
        "ObjectRemoved:Delete",
        "ObjectRemoved:DeleteMarkerCreated",
    ]
    first, last = records[0], records[-1]
    assert first["s3"]["object"]["key"] == "in/a+b%2B%C3%BC"
    assert (first["s3"]["object"]["size"], first["s3"]["object"]["eTag"]) == (4, etag.strip('"'))
    assert (first["s3"]["bucket"]["name"], first["s3"]["configurationId"]) == (bucket, "all")
    assert first["requestParameters"]["sourceIPAddress"] == "127.0.0.1"
    assert first["userIdentity"] == first["s3"]["bucket"]["ownerIdentity"]
    assert first["responseElements"]["x-amz-request-id"]
    assert "versionId" not in first["s3"]["object"]
    assert last["s3"]["object"]["versionId"] == marker
    sequencers = [record["s3"]["object"]["sequencer"] for record in records]
    assert sequencers == sorted(sequencers)


def test_what_is_posted_is_signed(s3: Any, bucket: str, target: str, webhook: Webhook) -> None:
    configure(s3, bucket, {"QueueArn": target, "Events": ["s3:ObjectCreated:Put"]})

    headers, body = webhook.posted.get(timeout=PATIENCE_S)

    signed = headers["x-cairn-timestamp"].encode() + b"." + body
    expected = hmac.new(b"hush", signed, hashlib.sha256).hexdigest()
    assert headers["x-cairn-signature"] == f"sha256={expected}"


def test_targets_are_listed_and_removed(cairn: CairnServer, webhook: Webhook) -> None:
    run_cairn(cairn, "target", "add", "stones", "--stream", "events")
    listed = {one["name"]: one for one in json.loads(run_cairn(cairn, "target", "list", "--json"))}

    assert listed["stones"]["arn"] == "arn:cairn:stream:::stones"
    assert listed["stones"]["place"] == "events"
    run_cairn(cairn, "target", "remove", "stones")
    assert "stones" not in run_cairn(cairn, "target", "list")
