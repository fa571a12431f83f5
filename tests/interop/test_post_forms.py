"""Browser uploads: forms of boto3's generate_presigned_post, and forms made wrong by hand."""

import base64
import hashlib
import os
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
import urllib3

from tests.harness.cairn import CairnServer
from tests.interop import wire
from tests.interop.support import MIB, User, md5

TAGGING = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"
File = tuple[str, bytes, str]


@pytest.fixture(scope="module")
def presigner(cairn: CairnServer) -> Iterator[Any]:
    """A client that signs forms with Version 4; boto3's default for them is Version 2."""
    client = cairn.client(signature_version="s3v4")
    yield client
    client.close()


def send(
    url: str, fields: dict[str, str], content: bytes = b"content", filename: str = "f.txt"
) -> urllib3.BaseHTTPResponse:
    form: dict[str, str | File] = {**fields, "file": (filename, content, "text/html")}
    return urllib3.request("POST", url, fields=form, redirect=False, retries=False, timeout=30.0)


def code_of(answer: urllib3.BaseHTTPResponse) -> str:
    return ElementTree.fromstring(answer.data).findtext("Code") or ""


def presigned(presigner: Any, bucket: str, key: str = "k", *conditions: Any, **fields: str) -> dict[str, Any]:
    """URL and fields of a form; every field gets its condition."""
    exact = [{name: value} for name, value in fields.items()]
    made: dict[str, Any] = presigner.generate_presigned_post(
        bucket, key, Fields=dict(fields), Conditions=[*exact, *conditions], ExpiresIn=60
    )
    return made


def test_form_stores_its_file(s3: Any, presigner: Any, bucket: str) -> None:
    given = {
        "Content-Type": "text/plain",
        "Cache-Control": "no-store",
        "x-amz-meta-who": "größe",
        "x-amz-storage-class": "STANDARD_IA",
        "tagging": TAGGING,
    }
    answer = send(**presigned(presigner, bucket, "a/ü.txt", **given))
    assert (answer.status, answer.data) == (204, b"")
    assert answer.headers["ETag"] == f'"{md5(b"content")}"'
    assert answer.headers["Location"].endswith(f"/{bucket}/a%2F%C3%BC.txt")
    got = s3.get_object(Bucket=bucket, Key="a/ü.txt")
    assert got["Body"].read() == b"content"
    assert (got["ContentType"], got["CacheControl"], got["StorageClass"]) == ("text/plain", "no-store", "STANDARD_IA")
    assert got["Metadata"]["who"].encode("latin-1").decode() == "größe"
    assert s3.get_object_tagging(Bucket=bucket, Key="a/ü.txt")["TagSet"] == [{"Key": "a", "Value": "1"}]


@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1, 9 * MIB])
def test_file_of_any_size_arrives_whole(s3: Any, presigner: Any, bucket: str, size: int) -> None:
    content = os.urandom(size)
    assert send(**presigned(presigner, bucket), content=content).status == 204
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (got["Body"].read() == content, got["ContentType"]) == (True, "binary/octet-stream")


def test_key_takes_the_name_of_the_file(s3: Any, presigner: Any, bucket: str) -> None:
    assert send(**presigned(presigner, bucket, "u/${filename}"), filename="a b.txt").status == 204
    assert s3.head_object(Bucket=bucket, Key="u/a b.txt")["ContentLength"] == 7


def test_form_of_a_versioned_bucket_makes_a_version(s3: Any, presigner: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    answer = send(**presigned(presigner, bucket))
    assert answer.headers["x-amz-version-id"] == s3.head_object(Bucket=bucket, Key="k")["VersionId"]


def test_success_has_the_form_that_was_asked_for(presigner: Any, bucket: str) -> None:
    created = send(**presigned(presigner, bucket, success_action_status="201"))
    root = ElementTree.fromstring(created.data)
    assert (created.status, root.findtext("Bucket"), root.findtext("Key")) == (201, bucket, "k")
    assert root.findtext("ETag") == created.headers["ETag"]
    assert root.findtext("Location") == created.headers["Location"]
    moved = send(**presigned(presigner, bucket, success_action_redirect="http://x.test/ok?a=1"))
    assert moved.status == 303
    query = parse_qs(urlsplit(moved.headers["Location"]).query)
    assert query == {"a": ["1"], "bucket": [bucket], "key": ["k"], "etag": [created.headers["ETag"]]}


def test_checksum_and_md5_of_a_form_are_verified(s3: Any, presigner: Any, bucket: str) -> None:
    sums: dict[str, Callable[[bytes], bytes]] = {
        "x-amz-checksum-sha256": lambda content: hashlib.sha256(content).digest(),
        "Content-MD5": lambda content: hashlib.md5(content, usedforsecurity=False).digest(),
    }
    for name, digest in sums.items():
        value = base64.b64encode(digest(b"content")).decode()
        assert send(**presigned(presigner, bucket, **{name: value})).status == 204
        wrong = send(**presigned(presigner, bucket, "wrong", **{name: value}), content=b"other")
        assert (wrong.status, code_of(wrong)) == (400, "BadDigest")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


@pytest.mark.parametrize(
    ("low", "high", "size", "code"),
    [
        (0, 7, 7, None),
        (7, 9, 7, None),
        (8, 9, 7, "EntityTooSmall"),
        (0, 6, 7, "EntityTooLarge"),
        (0, MIB, 3 * MIB, "EntityTooLarge"),
    ],
)
def test_size_of_the_file_is_held_against_the_policy(
    s3: Any, presigner: Any, bucket: str, low: int, high: int, size: int, code: str | None
) -> None:
    form = presigned(presigner, bucket, "k", ["content-length-range", low, high])
    answer = send(**form, content=b"x" * size)
    if code is None:
        assert answer.status == 204
        return
    assert (answer.status, code_of(answer)) == (400, code)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_form_may_do_only_what_its_policy_says(s3: Any, presigner: Any, bucket: str, bucket_name: str) -> None:
    s3.create_bucket(Bucket=f"{bucket_name}-other")
    form = presigned(presigner, bucket, "mine/${filename}", ["starts-with", "$Content-Type", "image/"])
    form["fields"]["Content-Type"] = "image/png"
    assert send(**form).status == 204
    for changed in (
        {"key": "yours/x"},
        {"Content-Type": "text/html"},
        {"x-amz-meta-extra": "1"},
        {"success_action_status": "200"},
    ):
        refused = send(form["url"], {**form["fields"], **changed})
        assert (refused.status, code_of(refused)) == (403, "AccessDenied")
        assert b"Invalid according to Policy: " in refused.data
    elsewhere = send(form["url"].replace(bucket, f"{bucket_name}-other"), form["fields"])
    assert (elsewhere.status, code_of(elsewhere)) == (403, "AccessDenied")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


@pytest.mark.parametrize(
    ("changed", "code", "status"),
    [
        ({"x-amz-signature": "0" * 64}, "SignatureDoesNotMatch", 403),
        ({"x-amz-signature": None}, "InvalidArgument", 400),
        ({"policy": None}, "InvalidArgument", 400),
        ({"policy": "e30="}, "SignatureDoesNotMatch", 403),
        ({"x-amz-credential": "AKIANOBODY/20200101/us-east-1/s3/aws4_request"}, "InvalidArgument", 400),
        ({"key": None}, "AccessDenied", 403),
    ],
)
def test_forged_forms_are_refused(
    presigner: Any, bucket: str, changed: dict[str, str | None], code: str, status: int
) -> None:
    form = presigned(presigner, bucket)
    fields = {name: value for name, value in (form["fields"] | changed).items() if value is not None}
    answer = send(form["url"], fields)
    assert (answer.status, code_of(answer)) == (status, code)


def test_form_of_an_unknown_user_is_refused(cairn: CairnServer, bucket: str) -> None:
    stranger = cairn.client_for("AKIANOBODY", "x" * 40, signature_version="s3v4")
    answer = send(**presigned(stranger, bucket))
    assert (answer.status, code_of(answer)) == (403, "InvalidAccessKeyId")


def test_form_of_version_2_is_refused_unless_that_is_switched_on(s3: Any, bucket: str) -> None:
    answer = send(**s3.generate_presigned_post(bucket, "k"))
    assert (answer.status, code_of(answer)) == (400, "InvalidRequest")


def test_form_of_a_user_without_rights_is_refused(cairn: CairnServer, user: User, bucket: str) -> None:
    stranger = cairn.client_for(user.access_key, user.secret_key, signature_version="s3v4")
    answer = send(**presigned(stranger, bucket))
    assert (answer.status, code_of(answer)) == (403, "AccessDenied")


def test_unsigned_form_is_anonymous(cairn: CairnServer, bucket: str) -> None:
    answer = send(f"{cairn.endpoint}/{bucket}", {"key": "k"})
    assert (answer.status, code_of(answer)) == (403, "AccessDenied")


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        ("multipart/form-data", b"x", "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=b", b"not a form at all", "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=b", b"--b--\r\n", "InvalidArgument"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\n' + b"k" * 30_000 + b"\r\n--b--\r\n",
            "MaxPostPreDataLengthExceededError",
        ),
        ("application/json", b"{}", "PreconditionFailed"),
    ],
)
def test_malformed_forms_are_refused_and_the_connection_lives(
    cairn: CairnServer, bucket: str, content_type: str, body: bytes, code: str
) -> None:
    headers = {"Host": wire.host(cairn), "Content-Type": content_type, "Content-Length": str(len(body))}
    with wire.connect(cairn) as connection:
        for _ in range(2):
            connection.send(wire.head_of("POST", f"/{bucket}", headers) + body)
            assert connection.answer().code == code


def test_form_that_breaks_off_stores_nothing(s3: Any, cairn: CairnServer, presigner: Any, bucket: str) -> None:
    form = presigned(presigner, bucket)
    body, content_type = urllib3.encode_multipart_formdata({**form["fields"], "file": ("f", b"x" * 1000)})
    headers = {"Host": wire.host(cairn), "Content-Type": content_type, "Content-Length": str(len(body))}
    with wire.connect(cairn) as connection:
        connection.send(wire.head_of("POST", f"/{bucket}", headers) + body[:-200])
        connection.reset()
    with wire.connect(cairn) as connection:
        cut = body[:-200]
        connection.send(wire.head_of("POST", f"/{bucket}", headers | {"Content-Length": str(len(cut))}) + cut)
        assert connection.answer().code == "MalformedPOSTRequest"
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_form_is_posted_to_the_bucket_in_the_host_name(
    s3: Any, cairn: CairnServer, presigner: Any, bucket: str
) -> None:
    form = presigned(presigner, bucket)
    body, content_type = urllib3.encode_multipart_formdata({**form["fields"], "file": ("f", b"hosted")})
    headers = {"Host": f"{bucket}.s3.test", "Content-Type": content_type, "Content-Length": str(len(body))}
    with wire.connect(cairn) as connection:
        connection.send(wire.head_of("POST", "/", headers) + body)
        answer = connection.answer()
    assert (answer.status, answer.headers["location"]) == (204, f"http://{bucket}.s3.test/k")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"hosted"
