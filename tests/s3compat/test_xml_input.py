"""XML bodies by hand: namespaces, encodings, empty and malformed documents, and documents too large to read."""

import time
from datetime import UTC, datetime

import pytest

from s3compat.parsing import LONG_XML_BODY_LIMIT_BYTES, XML_BODY_LIMIT_BYTES
from tests.s3compat.calls import error_of, parse

NS = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


@pytest.mark.parametrize("namespace", ["", NS, ' xmlns="http://example.com/other"'])
def test_a_delete_document_in_any_namespace(namespace: str) -> None:
    body = (
        f'<?xml version="1.0"?>\n<Delete{namespace}><!-- c -->\n <Quiet> true </Quiet>\n'
        " <Object><Key> a&amp;&#10;&#9731; </Key><VersionId>v</VersionId><Size>5</Size>"
        "<LastModifiedTime>Sat, 29 Oct 1994 19:43:31 GMT</LastModifiedTime></Object>\n"
        " <Object><Key><![CDATA[<k>]]></Key></Object></Delete>"
    )
    assert parse("POST", "/b?delete", {}, body)["Delete"] == {
        "Quiet": True,
        "Objects": [
            {
                "Key": " a&\n☃ ",
                "VersionId": "v",
                "Size": 5,
                "LastModifiedTime": datetime(1994, 10, 29, 19, 43, 31, tzinfo=UTC),
            },
            {"Key": "<k>"},
        ],
    }


def test_documents_in_other_encodings() -> None:
    text = "<Tagging><TagSet><Tag><Key>é</Key><Value/></Tag></TagSet></Tagging>"
    expected = {"TagSet": [{"Key": "é", "Value": ""}]}
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "iso-8859-1"):
        declared = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>{text}'
        assert parse("PUT", "/b?tagging", {}, declared.encode(encoding))["Tagging"] == expected


def test_an_acl_document_with_its_attribute() -> None:
    body = (
        "<AccessControlPolicy><Owner><ID>o</ID></Owner><AccessControlList><Grant>"
        '<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group"><URI>u</URI></Grantee>'
        "<Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>"
    )
    assert parse("PUT", "/b?acl", {}, body)["AccessControlPolicy"] == {
        "Owner": {"ID": "o"},
        "Grants": [{"Grantee": {"Type": "Group", "URI": "u"}, "Permission": "READ"}],
    }


def test_empty_lists_and_structures_are_present() -> None:
    assert parse("PUT", "/b?tagging", {}, "<Tagging><TagSet/></Tagging>")["Tagging"] == {"TagSet": []}
    assert parse("PUT", "/b?logging", {}, "<BucketLoggingStatus/>")["BucketLoggingStatus"] == {}


def test_entries_of_a_part_listing_may_be_echoed_when_an_upload_is_completed() -> None:
    body = (
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;e&quot;</ETag><Size>5</Size>"
        "<LastModified>x</LastModified></Part></CompleteMultipartUpload>"
    )
    parsed = parse("POST", "/b/k?uploadId=1", {}, body)
    assert parsed["MultipartUpload"] == {"Parts": [{"PartNumber": 1, "ETag": '"e"'}]}


def test_a_location_constraint_of_any_name_is_left_to_the_handler() -> None:
    body = "<CreateBucketConfiguration><LocationConstraint>moon-1</LocationConstraint></CreateBucketConfiguration>"
    assert parse("PUT", "/b", {}, body)["CreateBucketConfiguration"] == {"LocationConstraint": "moon-1"}


def test_negative_integers_in_documents_are_left_to_the_handler() -> None:
    rule = "<Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Years>-1</Years></DefaultRetention></Rule>"
    body = f"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>{rule}</ObjectLockConfiguration>"
    parsed = parse("PUT", "/b?object-lock", {}, body)["ObjectLockConfiguration"]
    assert parsed["Rule"]["DefaultRetention"]["Years"] == -1


@pytest.mark.parametrize(
    ("method", "target", "code"),
    [
        ("PUT", "/b", None),
        ("PUT", "/b?acl", None),
        ("PUT", "/b/k?acl", None),
        ("POST", "/b/k?restore", None),
        ("POST", "/b/k?uploadId=1", "MalformedXML"),
        ("POST", "/b?delete", "MissingRequestBodyError"),
        ("PUT", "/b?tagging", "MissingRequestBodyError"),
        ("PUT", "/b/k?retention", "MissingRequestBodyError"),
        ("PUT", "/b?policy", "MalformedPolicy"),
    ],
)
def test_empty_bodies(method: str, target: str, code: str | None) -> None:
    for body in (None, b""):
        if code is None:
            assert set(parse(method, target, {}, body)) <= {"Bucket", "Key"}
        else:
            assert error_of(method, target, {}, body).code == code


MALFORMED = [
    b" ",
    b"text",
    b"<Delete>",
    b"<Delete></Tagging>",
    b"<Tagging/>",
    b"<Delete/>",
    b"<Delete><Object/></Delete>",
    b"<Delete>text<Object><Key>k</Key></Object></Delete>",
    b"<Delete><Object><Key>k</Key></Object>text</Delete>",
    b"<Delete><Object><Key>k</Key>text</Object></Delete>",
    b"<Delete><Object><Key>k</Key><Key>l</Key></Object></Delete>",
    b"<Delete><Object><Key>k<b/></Key></Object></Delete>",
    b"<Delete><Object><Key>k</Key><VersionID>v</VersionID></Object></Delete>",
    b"<Delete><Object><Key>k</Key><Size>many</Size></Object></Delete>",
    b"<Delete><Object><Key>k</Key><Size/></Object></Delete>",
    b"<Delete><Object><Key>k</Key><LastModifiedTime>soon</LastModifiedTime></Object></Delete>",
    b"<Delete><Quiet>perhaps</Quiet><Object><Key>k</Key></Object></Delete>",
    b"<Delete><object><Key>k</Key></object></Delete>",
    b"<Delete><Object><Key>\x01</Key></Object></Delete>",
    b"<Delete><Object><Key>&#1;</Key></Object></Delete>",
    b"<Delete><Object><Key>\xff</Key></Object></Delete>",
    b"<Delete><Object><Key>&undefined;</Key></Object></Delete>",
    b'<Delete a="1" a="2"><Object><Key>k</Key></Object></Delete>',
    b"<!DOCTYPE Delete><Delete><Object><Key>k</Key></Object></Delete>",
    b'<!DOCTYPE Delete [<!ENTITY e "x">]><Delete><Object><Key>&e;</Key></Object></Delete>',
    b'<!DOCTYPE Delete [<!ENTITY e SYSTEM "file:///etc/passwd">]><Delete><Object><Key>&e;</Key></Object></Delete>',
    b'<?xml version="1.0" encoding="no-such"?><Delete><Object><Key>k</Key></Object></Delete>',
    b'<?xml version="1.0" encoding="utf-7"?><Delete><Object><Key>k</Key></Object></Delete>',
    b'<?xml version="1.0" encoding="shift_jis"?><Delete><Object><Key>k</Key></Object></Delete>',
    b'<?xml version="1.0" encoding="utf-16"?><Delete><Object><Key>k</Key></Object></Delete>',
    b"<Delete><Object>" * 50_000,
    b"<Delete>" + b"<Object>" * 50_000 + b"</Object>" * 50_000 + b"</Delete>",
]


@pytest.mark.parametrize("body", MALFORMED, ids=[str(body[:40]) for body in MALFORMED])
def test_malformed_documents(body: bytes) -> None:
    assert error_of("POST", "/b?delete", {}, body).code == "MalformedXML"


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/b?versioning", "<VersioningConfiguration><Status>enabled</Status></VersioningConfiguration>"),
        ("/b?requestPayment", "<RequestPaymentConfiguration><Payer>Me</Payer></RequestPaymentConfiguration>"),
        ("/b/k?legal-hold", "<LegalHold><Status>abc</Status></LegalHold>"),
        ("/b/k?retention", "<Retention><Mode>governance</Mode></Retention>"),
        ("/b?tagging", "<Tagging><Tag><Key>k</Key><Value>v</Value></Tag></Tagging>"),
        ("/b?tagging", "<Tagging><TagSet><tag><Key>k</Key><Value>v</Value></tag></TagSet></Tagging>"),
        ("/b?tagging", "<Tagging><TagSet><Tag><Key>k</Key></Tag></TagSet></Tagging>"),
        ("/b?lifecycle", "<LifecycleConfiguration/>"),
        ("/b?lifecycle", "<LifecycleConfiguration><Rule><Status>invalid</Status></Rule></LifecycleConfiguration>"),
        ("/b?cors", "<CORSConfiguration><CORSRule/></CORSConfiguration>"),
        (
            "/b?object-lock",
            "<ObjectLockConfiguration><ObjectLockEnabled>No</ObjectLockEnabled></ObjectLockConfiguration>",
        ),
    ],
)
def test_documents_that_break_their_schema(target: str, body: str) -> None:
    assert error_of("PUT", target, {}, body).code == "MalformedXML"


def test_documents_with_errors_of_their_own() -> None:
    assert error_of("PUT", "/b?acl", {}, "<AccessControlPolicy>").code == "MalformedACLError"
    assert error_of("PUT", "/b/k?acl", {}, "<x/>").code == "MalformedACLError"
    event = "<TopicConfiguration><Topic>t</Topic><Event>s3:Nothing</Event></TopicConfiguration>"
    error = error_of("PUT", "/b?notification", {}, f"<NotificationConfiguration>{event}</NotificationConfiguration>")
    assert (error.code, error.elements["ArgumentValue"]) == ("InvalidArgument", "s3:Nothing")
    redirect = "<RedirectAllRequestsTo><HostName>h</HostName><Protocol>gopher</Protocol></RedirectAllRequestsTo>"
    error = error_of("PUT", "/b?website", {}, f"<WebsiteConfiguration>{redirect}</WebsiteConfiguration>")
    assert error.code == "InvalidRequest"


@pytest.mark.parametrize(
    ("name", "refused"), [("prefix", False), ("Prefix", False), ("suffix", False), ("infix", True)]
)
def test_filter_rule_names(name: str, refused: bool) -> None:
    rule = f"<Filter><S3Key><FilterRule><Name>{name}</Name><Value>v</Value></FilterRule></S3Key></Filter>"
    topic = f"<TopicConfiguration><Topic>t</Topic><Event>s3:ObjectCreated:*</Event>{rule}</TopicConfiguration>"
    body = f"<NotificationConfiguration>{topic}</NotificationConfiguration>"
    if refused:
        assert error_of("PUT", "/b?notification", {}, body).message.startswith("filter rule name must be")
    else:
        parsed = parse("PUT", "/b?notification", {}, body)["NotificationConfiguration"]
        assert parsed["TopicConfigurations"][0]["Filter"]["Key"]["FilterRules"] == [{"Name": name, "Value": "v"}]


def test_a_policy_is_text_and_must_be_utf8() -> None:
    assert parse("PUT", "/b?policy", {}, '{"é": 1}')["Policy"] == '{"é": 1}'
    assert error_of("PUT", "/b?policy", {}, b"\xff").code == "MalformedPolicy"


def test_bodies_over_the_limit_are_refused_unread() -> None:
    error = error_of("PUT", "/b?tagging", {}, b"<" * (XML_BODY_LIMIT_BYTES + 1))
    assert (error.code, dict(error.elements)) == (
        "MaxMessageLengthExceeded",
        {"MaxMessageLengthBytes": str(XML_BODY_LIMIT_BYTES)},
    )
    body = b"<" * (11 * 1024 * 1024)
    assert error_of("POST", "/b?delete", {}, body).code == "MaxMessageLengthExceeded"
    assert error_of("POST", "/b/k?uploadId=1", {}, body).code == "MaxMessageLengthExceeded"


@pytest.mark.parametrize(
    "filler",
    [b"<a/>" * 2_500_000, b"<a " + b"".join(b'a%d="" ' % i for i in range(700_000))],
    ids=["elements", "attributes"],
)
def test_documents_of_nothing_but_markup_are_refused_before_they_are_parsed(filler: bytes) -> None:
    began = time.perf_counter()
    assert error_of("POST", "/b?delete", {}, b"<Delete>" + filler).code == "MalformedXML"
    assert time.perf_counter() - began < 3


def test_ten_thousand_parts_with_every_checksum_there_is_fit() -> None:
    sizes = {"CRC32": 8, "CRC32C": 8, "CRC64NVME": 12, "SHA1": 28, "SHA256": 44, "SHA512": 88, "MD5": 24}
    sizes |= {"XXHASH64": 12, "XXHASH3": 12, "XXHASH128": 24}
    sums = "".join(f"<Checksum{name}>{'A' * (size - 2)}==</Checksum{name}>" for name, size in sizes.items())
    part = f"<Part><ETag>&quot;{'0' * 32}&quot;</ETag>{sums}<PartNumber>10000</PartNumber></Part>"
    body = f"<CompleteMultipartUpload>{part * 10_000}</CompleteMultipartUpload>"
    assert len(parse("POST", "/b/k?uploadId=1", {}, body)["MultipartUpload"]["Parts"]) == 10_000


def test_a_thousand_of_the_longest_keys_fit_into_a_delete() -> None:
    key = "&amp;" * 1024
    body = f"<Delete>{f'<Object><Key>{key}</Key></Object>' * 1000}</Delete>"
    assert len(body) < LONG_XML_BODY_LIMIT_BYTES
    assert len(parse("POST", "/b?delete", {}, body)["Delete"]["Objects"]) == 1000
