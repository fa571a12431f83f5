"""POST forms: the fields as S3 sees them, the PutObject that they stand for, and the answers."""

from typing import Any
from xml.etree import ElementTree

import pytest

from s3compat.errors import S3Error
from s3compat.form_data import Field
from s3compat.post_form import Stored, form_fields, put_request, render_stored
from s3compat.request import Headers, S3Request

TAGGING = "<Tagging><TagSet><Tag><Key>a b</Key><Value>1&amp;2</Value></Tag></TagSet></Tagging>"


def post(path: bytes = b"/b", host: str = "s3.test:9000", secure: bool = False) -> S3Request:
    headers = Headers([("Host", host), ("Content-Type", "multipart/form-data; boundary=x"), ("Referer", "http://r/")])
    return S3Request.build("POST", path, b"", headers, secure, ("s3.test",))


def fields(*pairs: tuple[str, str], filename: str = "") -> dict[str, str]:
    return dict(form_fields([Field(name=name, value=value) for name, value in pairs], filename, "b"))


def put(*pairs: tuple[str, str]) -> S3Request:
    return put_request(post(), fields(*pairs))


def test_names_lose_their_case_and_repeated_fields_are_joined() -> None:
    assert fields(("KEY", "k"), ("x-amz-meta-Tag", "Ninja"), ("X-Amz-Meta-tag", "Stallman")) == {
        "key": "k",
        "x-amz-meta-tag": "Ninja,Stallman",
        "bucket": "b",
    }


def test_bucket_is_that_of_the_request() -> None:
    assert fields(("bucket", "other"))["bucket"] == "b"


@pytest.mark.parametrize(
    ("filename", "key"),
    [("a.txt", "u/a.txt/a.txt"), ("C:\\dir\\a.txt", "u/a.txt/a.txt"), ("/etc/a.txt", "u/a.txt/a.txt"), ("", "u//")],
)
def test_filename_is_put_in_wherever_it_is_named(filename: str, key: str) -> None:
    given = fields(("key", "u/${filename}/${filename}"), ("policy", "${filename}"), filename=filename)
    assert (given["key"], given["policy"]) == (key, "${filename}")


def test_form_becomes_a_put_of_its_key() -> None:
    request = put(
        ("key", "a//b/../ü+%2F"),
        ("Content-Type", "text/plain"),
        ("acl", "public-read"),
        ("tagging", TAGGING),
        ("x-amz-meta-A", "größe"),
        ("x-amz-storage-class", "STANDARD_IA"),
        ("x-amz-checksum-sha256", "x"),
        ("x-amz-copy-source", "other/key"),
        ("x-amz-content-sha256", "x"),
        ("If-None-Match", "*"),
        ("unknown", "ignored"),
    )
    assert (request.method, request.bucket, request.key) == ("PUT", "b", "a//b/../ü+%2F")
    assert dict(request.headers.items()) == {
        "host": "s3.test:9000",
        "referer": "http://r/",
        "content-type": "text/plain",
        "x-amz-acl": "public-read",
        "x-amz-tagging": "a+b=1%262",
        "x-amz-meta-a": "größe".encode().decode("latin-1"),
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-checksum-sha256": "x",
    }


@pytest.mark.parametrize(
    ("pairs", "code"),
    [
        ([], "InvalidArgument"),
        ([("key", "")], "InvalidArgument"),
        ([("key", "a\0b")], "InvalidArgument"),
        ([("key", "k" * 1025)], "KeyTooLongError"),
        ([("key", "k"), ("x-amz-meta-a", "1\r\nSet-Cookie: x")], "InvalidArgument"),
        ([("key", "k"), ("content-type", "a\nb")], "InvalidArgument"),
        ([("key", "k"), ("x-amz-meta-a: b", "1")], "InvalidArgument"),
        ([("key", "k"), ("tagging", "a=1")], "MalformedXML"),
        ([("key", "k"), ("tagging", "<Tagging/>")], "MalformedXML"),
    ],
)
def test_forms_that_no_put_can_stand_for(pairs: list[tuple[str, str]], code: str) -> None:
    with pytest.raises(S3Error) as caught:
        put(*pairs)
    assert caught.value.code == code


STORED = Stored(bucket="b", key="a b/ü", etag='"e"', headers=(("ETag", '"e"'),))


def answer(request: S3Request | None = None, **given: Any) -> tuple[int, dict[str, str], bytes]:
    rendered = render_stored(request or post(), given, STORED)
    return rendered.status, dict(rendered.headers), rendered.body


@pytest.mark.parametrize(
    ("wanted", "status"), [(None, 204), ("200", 200), ("204", 204), ("404", 204), ("", 204), ("201 ", 204)]
)
def test_form_may_want_another_status(wanted: str | None, status: int) -> None:
    given: dict[str, Any] = {} if wanted is None else {"success_action_status": wanted}
    location = "http://s3.test:9000/b/a%20b%2F%C3%BC"
    assert answer(**given) == (status, {"ETag": '"e"', "Location": location}, b"")


def test_201_has_a_document() -> None:
    status, headers, body = answer(success_action_status="201")
    root = ElementTree.fromstring(body)
    assert (status, headers["Content-Type"], root.tag) == (201, "application/xml", "PostResponse")
    assert [(child.tag, child.text) for child in root] == [
        ("Location", headers["Location"]),
        ("Bucket", "b"),
        ("Key", "a b/ü"),
        ("ETag", '"e"'),
    ]


def test_location_has_the_bucket_where_the_request_had_it() -> None:
    _, headers, _ = answer(post(b"/", "b.s3.test", secure=True))
    assert headers["Location"] == "https://b.s3.test/a%20b%2F%C3%BC"


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("http://x/ok", "http://x/ok?bucket=b&key=a%20b%2F%C3%BC&etag=%22e%22"),
        ("https://x/ok?a=1#top", "https://x/ok?a=1&bucket=b&key=a%20b%2F%C3%BC&etag=%22e%22"),
    ],
)
def test_redirect_tells_what_was_stored(url: str, location: str) -> None:
    for name in ("success_action_redirect", "redirect"):
        given: dict[str, Any] = {name: url, "success_action_status": "201"}
        status, headers, body = answer(**given)
        assert (status, headers["Location"], body) == (303, location, b"")


@pytest.mark.parametrize("url", ["ok.html", "javascript:x()", "//x/ok", "http://", "http://[", "http://x/\r\nA: b", ""])
def test_redirect_to_what_is_no_url_is_ignored(url: str) -> None:
    assert answer(success_action_redirect=url)[0] == 204
