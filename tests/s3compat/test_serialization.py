"""Answers byte for byte where AWS documents them, and text that XML and HTTP can hardly carry."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import unquote_plus
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3compat.errors import S3Error
from s3compat.serialization import RenderedResponse, render, render_error, url_encode_key
from s3compat.service_model import load
from tests.s3compat import oracle

DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
NS = b' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
MOMENT = datetime(2009, 10, 12, 17, 50, 30, 123_456, tzinfo=UTC)


def rendered(name: str, output: dict[str, Any]) -> RenderedResponse:
    return render(load().operations[name], output)


def body_of(name: str, output: dict[str, Any]) -> bytes:
    response = rendered(name, output)
    assert response.body.startswith(DECLARATION)
    assert response.headers[0] == ("Content-Type", "application/xml")
    return response.body.removeprefix(DECLARATION)


@pytest.mark.parametrize(
    ("name", "root"),
    [
        ("ListBuckets", "ListAllMyBucketsResult"),
        ("ListObjects", "ListBucketResult"),
        ("ListObjectsV2", "ListBucketResult"),
        ("ListObjectVersions", "ListVersionsResult"),
        ("ListMultipartUploads", "ListMultipartUploadsResult"),
        ("ListParts", "ListPartsResult"),
        ("CreateMultipartUpload", "InitiateMultipartUploadResult"),
        ("CompleteMultipartUpload", "CompleteMultipartUploadResult"),
        ("CopyObject", "CopyObjectResult"),
        ("UploadPartCopy", "CopyPartResult"),
        ("DeleteObjects", "DeleteResult"),
        ("GetBucketLocation", "LocationConstraint"),
        ("GetBucketAcl", "AccessControlPolicy"),
        ("GetObjectAcl", "AccessControlPolicy"),
        ("GetBucketTagging", "Tagging"),
        ("GetObjectTagging", "Tagging"),
        ("GetBucketVersioning", "VersioningConfiguration"),
        ("GetBucketCors", "CORSConfiguration"),
        ("GetBucketLifecycleConfiguration", "LifecycleConfiguration"),
        ("GetBucketLogging", "BucketLoggingStatus"),
        ("GetBucketNotificationConfiguration", "NotificationConfiguration"),
        ("GetBucketRequestPayment", "RequestPaymentConfiguration"),
        ("GetBucketWebsite", "WebsiteConfiguration"),
        ("GetBucketEncryption", "ServerSideEncryptionConfiguration"),
        ("GetBucketPolicyStatus", "PolicyStatus"),
        ("GetBucketReplication", "ReplicationConfiguration"),
        ("GetBucketOwnershipControls", "OwnershipControls"),
        ("GetPublicAccessBlock", "PublicAccessBlockConfiguration"),
        ("GetObjectAttributes", "GetObjectAttributesResponse"),
        ("GetObjectLockConfiguration", "ObjectLockConfiguration"),
        ("GetObjectRetention", "Retention"),
        ("GetObjectLegalHold", "LegalHold"),
        ("ListBucketAnalyticsConfigurations", "ListBucketAnalyticsConfigurationResult"),
        ("ListBucketInventoryConfigurations", "ListInventoryConfigurationsResult"),
        ("ListBucketMetricsConfigurations", "ListMetricsConfigurationsResult"),
    ],
)
def test_documents_have_the_names_of_the_api_reference(name: str, root: str) -> None:
    assert body_of(name, {}) == b"<%s%s></%s>" % (root.encode(), NS, root.encode())


def test_a_listing_has_its_elements_in_the_order_of_aws() -> None:
    output = {
        "IsTruncated": False,
        "Contents": [
            {
                "Key": "a<b>&\"c'",
                "LastModified": MOMENT,
                "ETag": '"e"',
                "Size": 5,
                "StorageClass": "STANDARD",
                "Owner": {"DisplayName": "d", "ID": "i"},
                "ChecksumAlgorithm": ["CRC32"],
            }
        ],
        "Name": "b",
        "Prefix": "",
        "MaxKeys": 1000,
        "KeyCount": 2,
        "CommonPrefixes": [{"Prefix": "p/"}],
        "Delimiter": None,
    }
    assert body_of("ListObjectsV2", output) == (
        b"<ListBucketResult" + NS + b"><Name>b</Name><Prefix></Prefix><KeyCount>2</KeyCount>"
        b"<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated><Contents><Key>a&lt;b&gt;&amp;&quot;c'</Key>"
        b"<LastModified>2009-10-12T17:50:30.000Z</LastModified><ETag>&quot;e&quot;</ETag>"
        b"<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><Size>5</Size>"
        b"<Owner><ID>i</ID><DisplayName>d</DisplayName></Owner><StorageClass>STANDARD</StorageClass></Contents>"
        b"<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></ListBucketResult>"
    )


def test_an_acl_declares_the_type_of_each_grantee() -> None:
    grant = {"Grantee": {"Type": "CanonicalUser", "ID": "i", "DisplayName": "d"}, "Permission": "READ"}
    assert body_of("GetBucketAcl", {"Owner": {"ID": "i"}, "Grants": [grant]}) == (
        b"<AccessControlPolicy" + NS + b"><Owner><ID>i</ID></Owner><AccessControlList><Grant>"
        b'<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">'
        b"<ID>i</ID><DisplayName>d</DisplayName></Grantee><Permission>READ</Permission></Grant>"
        b"</AccessControlList></AccessControlPolicy>"
    )


def test_a_location_is_the_text_of_its_document() -> None:
    body = body_of("GetBucketLocation", {"LocationConstraint": "eu-west-1"})
    assert body == b"<LocationConstraint" + NS + b">eu-west-1</LocationConstraint>"


def test_versions_and_delete_markers_come_in_one_sequence() -> None:
    def entry(key: str, version: str, second: int, latest: bool = False) -> dict[str, Any]:
        return {
            "Key": url_encode_key(key),
            "VersionId": version,
            "IsLatest": latest,
            "LastModified": MOMENT + timedelta(seconds=second),
        }

    output = {
        "EncodingType": "url",
        "Versions": [entry("a", "1", 1), entry("a b", "5", 9, True), entry("a b", "4", 8), entry("aé", "9", 1, True)],
        "DeleteMarkers": [entry("a", "2", 2, True), entry("a", "0", 0), entry("a!", "3", 1, True)],
        "CommonPrefixes": [{"Prefix": "z"}],
    }
    root = ElementTree.fromstring(body_of("ListObjectVersions", output))
    entries = [child for child in root if child.find("{*}VersionId") is not None]
    assert [(child.tag.rpartition("}")[2], child.findtext("{*}VersionId")) for child in entries] == [
        *(("DeleteMarker", "2"), ("Version", "1"), ("DeleteMarker", "0")),
        *(("Version", "5"), ("Version", "4"), ("DeleteMarker", "3"), ("Version", "9")),
    ]
    assert root.findtext("{*}CommonPrefixes/{*}Prefix") == "z"


def test_statuses() -> None:
    assert rendered("GetObject", {}).status == 200
    assert rendered("GetObject", {"ContentRange": "bytes 0-0/1"}).status == 206
    assert rendered("DeleteObject", {}).status == 204
    assert rendered("DeleteBucketCors", {}) == RenderedResponse(status=204, headers=[], body=b"")
    assert rendered("PutBucketPolicy", {}).status == 204


def test_headers_of_an_object() -> None:
    response = rendered(
        "GetObject",
        {
            "Body": b"ignored",
            "ETag": '"e"',
            "ContentLength": 5,
            "LastModified": MOMENT.astimezone(timezone(timedelta(hours=2))),
            "ObjectLockRetainUntilDate": MOMENT,
            "DeleteMarker": False,
            "VersionId": None,
            "Metadata": {"a": "b", "bad name": "x", "": "nameless"},
            "NoSuchMember": 1,
        },
    )
    assert response.body == b""
    assert response.headers == [
        ("ETag", '"e"'),
        ("Content-Length", "5"),
        ("Last-Modified", "Mon, 12 Oct 2009 17:50:30 GMT"),
        ("x-amz-object-lock-retain-until-date", "2009-10-12T17:50:30.123Z"),
        ("x-amz-delete-marker", "false"),
        ("x-amz-meta-a", "b"),
    ]


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("plain", "plain"),
        ("tab\there", "tab\there"),
        ("caf\xe9 \x85", "caf\xe9 \x85"),
        ("a\r\nSet-Cookie: x\0\x7f", "a  Set-Cookie: x  "),
        ("☃\r\n", "=?UTF-8?B?4piDDQo=?="),
    ],
)
def test_headers_hold_nothing_that_http_cannot(text: str, header: str) -> None:
    assert ("Content-Disposition", header) in rendered("GetObject", {"ContentDisposition": text}).headers
    assert ("x-amz-meta-m", header) in rendered("GetObject", {"Metadata": {"m": text}}).headers


def test_a_policy_is_sent_as_it_is() -> None:
    response = rendered("GetBucketPolicy", {"Policy": '{"é": "<"}'})
    assert response.body == '{"é": "<"}'.encode()
    assert response.headers == [("Content-Type", "application/json")]


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("a\rb\r\n", b"a&#13;b&#13;\n"),
        ("\t\n", b"\t\n"),
        ("\x00\x01\x08\x0b\x0c\x1f", b"&#x0;&#x1;&#x8;&#xb;&#xc;&#x1f;"),
        ("\ufffe\uffff", b"&#xfffe;&#xffff;"),
        ("\ud800", b"&#55296;"),
        ("😀\x7f", "😀\x7f".encode()),
    ],
)
def test_text_that_xml_can_hardly_hold(text: str, sent: bytes) -> None:
    body = body_of("ListObjects", {"Prefix": text})
    assert body == b"<ListBucketResult" + NS + b"><Prefix>" + sent + b"</Prefix></ListBucketResult>"


@settings(max_examples=200, deadline=None, derandomize=True)
@given(key=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")))
def test_any_key_comes_back_from_botocore(key: str) -> None:
    output = {"Contents": [{"Key": key}]}
    assert oracle.parsed_by_botocore("ListObjectsV2", rendered("ListObjectsV2", output)) == output


def test_an_error_document() -> None:
    error = S3Error("NoSuchKey", headers={"x-amz-delete-marker": "true"}, Key="a<b\r", VersionId="v")
    response = render_error(error, "/b/a<b", "REQ", "HOST=")
    assert response.status == 404
    assert response.headers == [("Content-Type", "application/xml"), ("x-amz-delete-marker", "true")]
    assert response.body == DECLARATION + (
        b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Key>a&lt;b&#13;</Key>"
        b"<VersionId>v</VersionId><Resource>/b/a&lt;b</Resource><RequestId>REQ</RequestId><HostId>HOST=</HostId></Error>"
    )


def test_not_modified_has_no_body() -> None:
    response = render_error(S3Error("NotModified", headers={"ETag": '"e"'}), "/b/k", "REQ", "HOST")
    assert response == RenderedResponse(status=304, headers=[("ETag", '"e"')], body=b"")


@pytest.mark.parametrize(
    ("key", "encoded"),
    [
        ("a/b c", "a/b+c"),
        ("a+b%", "a%2Bb%25"),
        ("azAZ09.-*_", "azAZ09.-*_"),
        ("~!'()", "%7E%21%27%28%29"),
        ("é☃", "%C3%A9%E2%98%83"),
        ("\x00\n", "%00%0A"),
        ("", ""),
    ],
)
def test_keys_are_encoded_as_by_javas_url_encoder(key: str, encoded: str) -> None:
    assert url_encode_key(key) == encoded
    assert unquote_plus(encoded) == key
