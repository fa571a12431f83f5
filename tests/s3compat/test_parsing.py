"""Headers and parameters by hand: types, limits, AWS's error for each malformed value, and nothing but S3Error for
any request."""

from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from s3compat.errors import S3Error
from s3compat.parsing import LONG_XML_BODY_LIMIT_BYTES, needs_xml_body, parse_input, xml_body_limit_bytes
from s3compat.routing import CORS_PREFLIGHT, POST_OBJECT, find_operation
from s3compat.service_model import load
from tests.s3compat import oracle
from tests.s3compat.calls import error_of, parse
from tests.s3compat.oracle import build


def test_only_present_members_are_in_the_input() -> None:
    assert parse("GET", "/b/k") == {"Bucket": "b", "Key": "k"}
    assert parse("GET", "/") == {}


def test_members_have_pythons_types() -> None:
    assert parse(
        "PUT",
        "/b/k",
        {
            "Content-Length": "5",
            "Content-Type": "text/plain",
            "X-AMZ-META-Color": "Blue",
            "x-amz-meta-": "nameless",
            "x-amz-server-side-encryption-bucket-key-enabled": "TRUE",
            "x-amz-object-lock-retain-until-date": "2030-01-01T00:00:00.250+01:00",
            "x-amz-storage-class": "GLACIER_IR",
            "if-none-match": "*",
            "x-unknown": "1",
        },
    ) == {
        "Bucket": "b",
        "Key": "k",
        "ContentLength": 5,
        "ContentType": "text/plain",
        "Metadata": {"color": "Blue"},
        "BucketKeyEnabled": True,
        "ObjectLockRetainUntilDate": datetime(2029, 12, 31, 23, 0, 0, 250_000, tzinfo=UTC),
        "StorageClass": "GLACIER_IR",
        "IfNoneMatch": "*",
    }


def test_repeated_headers_are_joined_and_of_repeated_parameters_the_first_counts() -> None:
    request = build("GET", b"/b", b"prefix=1&prefix=2", [("x-amz-meta-a", "1"), ("x-amz-meta-a", "2")])
    assert parse_input(find_operation(request), request, None)["Prefix"] == "1"
    request = build("PUT", b"/b/k", b"", [("x-amz-meta-a", "1"), ("X-Amz-Meta-A", "2")])
    assert parse_input(find_operation(request), request, None)["Metadata"] == {"a": "1,2"}


def test_empty_values() -> None:
    empty = "/b?prefix=&delimiter=&marker=&max-keys=&encoding-type="
    assert parse("GET", empty) == {"Bucket": "b", "Prefix": "", "Delimiter": "", "Marker": ""}
    assert parse("GET", "/b?list-type=2&fetch-owner=&continuation-token=") == {"Bucket": "b", "ContinuationToken": ""}
    headers = {"content-type": "", "x-amz-acl": "", "x-amz-tagging": "", "content-md5": ""}
    assert parse("PUT", "/b/k", headers) == {"Bucket": "b", "Key": "k", "Tagging": "", "ContentMD5": ""}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Sat, 29 Oct 1994 19:43:31 GMT", datetime(1994, 10, 29, 19, 43, 31, tzinfo=UTC)),
        ("Saturday, 29-Oct-94 19:43:31 GMT", datetime(1994, 10, 29, 19, 43, 31, tzinfo=UTC)),
        ("Sat Oct 29 19:43:31 1994", datetime(1994, 10, 29, 19, 43, 31, tzinfo=UTC)),
        ("1994-10-29T19:43:31Z", datetime(1994, 10, 29, 19, 43, 31, tzinfo=UTC)),
    ],
)
def test_dates_in_every_form(text: str, moment: datetime) -> None:
    assert parse("GET", "/b/k", {"if-modified-since": text})["IfModifiedSince"] == moment
    assert parse("GET", f"/b/k?response-expires={quote(text)}")["ResponseExpires"] == moment


@pytest.mark.parametrize("name", ["If-Modified-Since", "If-Unmodified-Since"])
def test_conditions_that_are_no_dates_are_ignored(name: str) -> None:
    assert parse("GET", "/b/k", {name: "yesterday"}) == {"Bucket": "b", "Key": "k"}


@pytest.mark.parametrize(
    ("target", "name", "value", "message"),
    [
        ("/b?max-keys=blah", "max-keys", "blah", "Provided max-keys not an integer or within integer range"),
        ("/b?max-keys=1.0", "max-keys", "1.0", "Provided max-keys not an integer or within integer range"),
        ("/b?max-keys=%D9%A1", "max-keys", "١", "Provided max-keys not an integer or within integer range"),
        ("/b?max-keys=99999999999999999999", "max-keys", "9" * 20, "Provided max-keys not an integer or within"),
        ("/b?max-keys=2147483648", "max-keys", "2147483648", "Provided max-keys not an integer or within"),
        ("/b?max-keys=-1", "maxKeys", "-1", "Argument maxKeys must be an integer between 0 and 2147483647"),
        ("/b?uploads&max-uploads=-1", "maxUploads", "-1", "Argument maxUploads must be an integer between 0"),
        ("/b/k?uploadId=1&max-parts=-5", "maxParts", "-5", "Argument maxParts must be an integer between 0"),
        ("/b/k?uploadId=1&part-number-marker=-1", "partNumberMarker", "-1", "Argument partNumberMarker must be"),
        ("/?max-buckets=0", "maxBuckets", "0", "Argument maxBuckets must be an integer between 1 and 10000"),
        ("/?max-buckets=10001", "maxBuckets", "10001", "Argument maxBuckets must be an integer between 1 and 10000"),
        ("/b/k?partNumber=0", "partNumber", "0", "Part number must be an integer between 1 and 10000, inclusive"),
        ("/b/k?partNumber=10001", "partNumber", "10001", "Part number must be an integer between 1 and 10000"),
        ("/b/k?partNumber=x", "partNumber", "x", "Part number must be an integer between 1 and 10000, inclusive"),
        ("/b?encoding-type=xml", "encoding-type", "xml", "Invalid Encoding Method specified in Request"),
        ("/b?list-type=2&fetch-owner=maybe", "fetch-owner", "maybe", "Invalid Argument"),
        ("/b/k?versionId=", "versionId", "", "Version id cannot be the empty string"),
        ("/b/k?response-expires=soon", "response-expires", "soon", "Invalid Argument"),
        ("/b/k?response-content-type=%E2%98%83", "response-content-type", "☃", "Header value cannot be"),
        ("/b/k?response-content-type=a%0D%0AX:y", "response-content-type", "a\r\nX:y", "Header value cannot be"),
        ("/b/k?attributes", "x-amz-object-attributes", "", "The x-amz-object-attributes header"),
    ],
)
def test_invalid_parameters(target: str, name: str, value: str, message: str) -> None:
    error = error_of("GET", target)
    assert error.code == "InvalidArgument"
    assert dict(error.elements) == {"ArgumentName": name, "ArgumentValue": value}
    assert error.message.startswith(message)


@pytest.mark.parametrize(
    ("header", "value", "code", "message"),
    [
        ("x-amz-acl", "public", "InvalidArgument", "Invalid Argument"),
        ("x-amz-storage-class", "COLD", "InvalidStorageClass", "The storage class you specified is not valid"),
        ("x-amz-server-side-encryption", "aes:kms", "InvalidArgument", "The encryption method specified is not"),
        ("x-amz-object-lock-mode", "governance", "InvalidArgument", "Unknown wormMode directive."),
        ("x-amz-object-lock-legal-hold", "yes", "InvalidArgument", "Legal Hold must be either of 'ON' or 'OFF'"),
        ("x-amz-object-lock-retain-until-date", "soon", "InvalidArgument", "The retain until date must be provided"),
        (
            *("x-amz-object-lock-retain-until-date", "Sat, 29 Oct 1994 19:43:31 GMT"),
            *("InvalidArgument", "The retain until date must be provided in ISO 8601 format"),
        ),
        ("x-amz-request-payer", "me", "InvalidArgument", "Invalid Argument"),
        ("content-length", "-1", "InvalidArgument", "Argument ContentLength must be an integer between 0"),
        ("content-length", "five", "InvalidArgument", "Provided Content-Length not an integer"),
        ("x-amz-write-offset-bytes", "1e3", "InvalidArgument", "Provided x-amz-write-offset-bytes not an integer"),
        ("x-amz-server-side-encryption-bucket-key-enabled", "1", "InvalidArgument", "Invalid Argument"),
    ],
)
def test_invalid_headers(header: str, value: str, code: str, message: str) -> None:
    error = error_of("PUT", "/b/k", {header: value})
    assert error.code == code
    assert error.message.startswith(message)


@pytest.mark.parametrize(
    ("method", "target", "headers", "code", "message"),
    [
        ("PUT", "/b/k", {"x-amz-metadata-directive": "MERGE"}, "InvalidArgument", "Unknown metadata directive."),
        ("PUT", "/b/k", {"x-amz-tagging-directive": "x"}, "InvalidArgument", "Unknown tagging directive."),
        ("PUT", "/b/k", {"x-amz-copy-source-if-modified-since": "x"}, "InvalidArgument", "Invalid Argument"),
        ("POST", "/b/k?uploads", {"x-amz-checksum-type": "HALF"}, "InvalidRequest", "Value for x-amz-checksum-type"),
        ("GET", "/b/k?attributes", {"x-amz-object-attributes": "ETag,Name"}, "InvalidArgument", "Invalid attribute"),
        ("GET", "/b/k?attributes", {"x-amz-object-attributes": " , "}, "InvalidArgument", "The x-amz-object-attrib"),
        ("PUT", "/b/k?renameObject", {}, "InvalidRequest", "Missing required header for this request: x-amz-rename"),
        ("PUT", "/b/k?uploadId=1", {}, "InvalidArgument", "Missing required parameter: partNumber"),
        ("PUT", "/b/k?partNumber=1", {}, "InvalidArgument", "Missing required parameter: uploadId"),
        ("PUT", "/b?analytics", {}, "InvalidArgument", "Missing required parameter: id"),
    ],
)
def test_invalid_requests(method: str, target: str, headers: dict[str, str], code: str, message: str) -> None:
    source = {"x-amz-copy-source": "/a/b"} if any("irective" in name or "copy" in name for name in headers) else {}
    error = error_of(method, target, headers | source)
    assert error.code == code
    assert error.message.startswith(message)


def test_lists_in_headers() -> None:
    parsed = parse("GET", "/b/k?attributes", {"x-amz-object-attributes": "ETag, ObjectSize,"})
    assert parsed["ObjectAttributes"] == ["ETag", "ObjectSize"]


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/b/k", {"x-amz-sdk-checksum-algorithm": "CRC128"}),
        ("/b/k?uploads", {"x-amz-checksum-algorithm": "CRC128"}),
        ("/b", {"x-amz-acl": "log-delivery-write"}),
    ],
)
def test_values_that_the_model_lacks_and_others_judge_pass(target: str, headers: dict[str, str]) -> None:
    assert set(headers.values()) <= set(parse("POST" if "uploads" in target else "PUT", target, headers).values())


def test_which_operations_have_their_body_read_whole() -> None:
    operations = load().operations
    for name in ("PutObject", "UploadPart", "GetObject", "PutObjectAnnotation", "CopyObject", "DeleteObject"):
        assert not needs_xml_body(operations[name])
    for name in ("DeleteObjects", "CreateBucket", "PutBucketPolicy", "SelectObjectContent", "CompleteMultipartUpload"):
        assert needs_xml_body(operations[name])
    assert not needs_xml_body(CORS_PREFLIGHT)
    assert not needs_xml_body(POST_OBJECT)
    assert xml_body_limit_bytes(operations["DeleteObjects"]) == LONG_XML_BODY_LIMIT_BYTES
    assert parse("OPTIONS", "/b/k") == {}


HOSTILE_TEXT = st.one_of(
    st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=30),
    st.sampled_from(["", "-1", "0", "9" * 30, "true", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "١"]),
)


@st.composite
def hostile_requests(draw: st.DrawFn) -> tuple[str, list[tuple[str, str]], list[tuple[str, str]], bytes]:
    """An operation, and for some of its headers, parameters and its body anything at all."""
    name = draw(st.sampled_from(oracle.operation_names()))
    members = load().operations[name].input.members
    headers = [member.wire_name for member in members if member.location.value == "header"] or ["x"]
    params = [member.wire_name for member in members if member.location.value == "querystring"] or ["x"]
    body = bytearray(oracle.request_of(name, oracle.full_input(name))[1])
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(body)))
        body[start : start + draw(st.integers(0, 20))] = draw(st.binary(max_size=8))
    return (
        name,
        draw(st.lists(st.tuples(st.sampled_from(headers), HOSTILE_TEXT), max_size=5)),
        draw(st.lists(st.tuples(st.sampled_from(params), HOSTILE_TEXT), max_size=5)),
        bytes(body),
    )


@settings(max_examples=500, deadline=None, derandomize=True)
@given(hostile=hostile_requests())
@example(hostile=("PutObject", [("x-amz-object-lock-retain-until-date", "0001-01-01T00:00:00+23:59")], [], b""))
def test_nothing_but_s3_errors_comes_of_any_request(
    hostile: tuple[str, list[tuple[str, str]], list[tuple[str, str]], bytes],
) -> None:
    name, headers, params, body = hostile
    operation = load().operations[name]
    literals = "&".join(f"{key}={value}" for key, value in operation.query)
    query = f"{literals}&{urlencode(params)}".encode()
    request = build(operation.method, b"/b/k" if operation.path_kind.value == "object" else b"/b", query, headers)
    with suppress(S3Error):
        assert isinstance(parse_input(find_operation(request), request, body), dict)
