"""What nothing refers to any more is gone from the nodes after its grace, and what is referred to stays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.content import content
from tests.cluster.support import MIB, start, stored_bytes, stored_files, wait_until, wait_until_nothing_is_stored
from tests.harness.cairn import CairnServer

PART_BYTES = 5 * MIB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CairnServer]:
    with start(tmp_path_factory.mktemp("cluster"), nodes=2, replicas=2) as running:
        yield running


@pytest.fixture
def s3(server: CairnServer) -> Iterator[Any]:
    client = server.client()
    client.create_bucket(Bucket="bucket")
    yield client
    client.close()


def start_upload(s3: Any, *bodies: bytes) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """A multipart upload with these parts: what names it, and the parts for its completion."""
    upload_id = s3.create_multipart_upload(Bucket="bucket", Key="parts")["UploadId"]
    named = {"Bucket": "bucket", "Key": "parts", "UploadId": upload_id}
    parts = []
    for number, body in enumerate(bodies, 1):
        answer = s3.upload_part(PartNumber=number, Body=body, **named)
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    return named, parts


def wait_until_stored(server: CairnServer, size_bytes: int) -> None:
    """On two nodes so many bytes of objects are left, with less than a tenth of overhead."""
    wait_until(
        lambda: 2 * size_bytes <= stored_bytes(server) < 2.2 * size_bytes + 65536,
        f"{size_bytes} bytes on each node",
    )


def test_overwritten_and_deleted_objects(server: CairnServer, s3: Any) -> None:
    for number in range(4):
        s3.put_object(Bucket="bucket", Key="overwritten", Body=content(MIB, bytes([number])))
    for key in ("deleted", "deleted too"):
        s3.put_object(Bucket="bucket", Key=key, Body=content(MIB, key.encode()))
    s3.delete_object(Bucket="bucket", Key="deleted")
    s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "deleted too"}]})
    wait_until_stored(server, MIB)
    assert s3.get_object(Bucket="bucket", Key="overwritten")["Body"].read() == content(MIB, bytes([3]))
    s3.copy_object(Bucket="bucket", Key="copy", CopySource={"Bucket": "bucket", "Key": "overwritten"})
    s3.delete_object(Bucket="bucket", Key="overwritten")
    wait_until_stored(server, MIB)
    assert s3.get_object(Bucket="bucket", Key="copy")["Body"].read() == content(MIB, bytes([3]))
    s3.delete_object(Bucket="bucket", Key="copy")
    wait_until_nothing_is_stored(server)


def test_refused_writes(server: CairnServer, s3: Any) -> None:
    s3.put_object(Bucket="bucket", Key="kept", Body=content(MIB))
    for _ in range(3):
        with pytest.raises(s3.exceptions.ClientError, match="PreconditionFailed"):
            s3.put_object(Bucket="bucket", Key="kept", Body=content(MIB, b"other"), IfNoneMatch="*")
        with pytest.raises(s3.exceptions.ClientError, match="BadDigest"):
            s3.put_object(Bucket="bucket", Key="kept", Body=b"x", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==")
    wait_until_stored(server, MIB)
    s3.delete_object(Bucket="bucket", Key="kept")
    wait_until_nothing_is_stored(server)


def test_aborted_replaced_and_unused_parts(server: CairnServer, s3: Any) -> None:
    named, _ = start_upload(s3, content(MIB, b"aborted"))
    s3.abort_multipart_upload(**named)
    named, parts = start_upload(s3, content(PART_BYTES, b"1"), content(PART_BYTES, b"2"), content(MIB, b"3"))
    s3.upload_part(PartNumber=2, Body=content(PART_BYTES, b"replaced"), **named)
    s3.complete_multipart_upload(MultipartUpload={"Parts": [parts[0], parts[2]]}, **named)
    wait_until_stored(server, PART_BYTES + MIB)
    whole = content(PART_BYTES, b"1") + content(MIB, b"3")
    assert s3.get_object(Bucket="bucket", Key="parts")["Body"].read() == whole
    s3.delete_object(Bucket="bucket", Key="parts")
    wait_until_nothing_is_stored(server)


def test_parts_of_an_upload_under_way_stay(server: CairnServer, s3: Any) -> None:
    named, parts = start_upload(s3, content(PART_BYTES, b"stays"))
    # Something else comes and goes after it, so that its grace is over too.
    s3.put_object(Bucket="bucket", Key="passing", Body=content(MIB))
    s3.delete_object(Bucket="bucket", Key="passing")
    wait_until_stored(server, PART_BYTES)
    s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **named)
    assert s3.get_object(Bucket="bucket", Key="parts")["Body"].read() == content(PART_BYTES, b"stays")
    s3.delete_object(Bucket="bucket", Key="parts")
    wait_until_nothing_is_stored(server)


def test_uploads_of_a_deleted_bucket(server: CairnServer, s3: Any) -> None:
    start_upload(s3, content(MIB, b"gone"), content(MIB, b"gone too"))
    assert stored_files(server)
    s3.delete_bucket(Bucket="bucket")
    wait_until_nothing_is_stored(server)


def test_restart_within_the_grace_forgets_nothing(tmp_path: Path) -> None:
    with start(tmp_path, nodes=2, replicas=2) as server:
        client = server.client()
        client.create_bucket(Bucket="bucket")
        client.put_object(Bucket="bucket", Key="k", Body=content(MIB))
        client.delete_object(Bucket="bucket", Key="k")
        client.close()
        server.kill()
    with start(tmp_path, nodes=2, replicas=2) as server:
        wait_until_nothing_is_stored(server)
