"""XML bodies that are malformed, dangerous or too large: S3's own error for each, and nothing done."""

from typing import Any

import pytest

from tests.interop.place import Place, delete_document
from tests.interop.support import content_md5, refusal

GOOD = "<Object><Key>k</Key></Object>"

MALFORMED = {
    "nothing": b"",
    "no xml": b"not xml",
    "not closed": b"<Delete>",
    "closed by another": b"<Delete></Other>",
    "another root": b"<Other/>",
    "no objects": b"<Delete/>",
    "no key": delete_document("<Object/>"),
    "cut": delete_document(GOOD)[:-10],
    "raw control character": delete_document("<Object><Key>\x01</Key></Object>"),
    "reference to a control character": delete_document("<Object><Key>&#1;</Key></Object>"),
    "unknown entity": delete_document("<Object><Key>&unknown;</Key></Object>"),
    "unknown encoding": b'<?xml version="1.0" encoding="utf-7"?>' + delete_document(GOOD),
    "mark of another encoding": b"\xff\xfe" + delete_document(GOOD),
    "invalid utf-8": delete_document(GOOD).replace(b"k<", b"\xff<"),
    "no boolean": delete_document(f"<Quiet>perhaps</Quiet>{GOOD}"),
    "empty": b" ",
}

DECLARATIONS = {
    "bare": b"<!DOCTYPE Delete>",
    "entity": b'<!DOCTYPE Delete [<!ENTITY a "k">]>',
    "file": b'<!DOCTYPE Delete [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    "remote": b'<!DOCTYPE Delete SYSTEM "http://127.0.0.1:1/x.dtd">',
    "parameter entity": b'<!DOCTYPE Delete [<!ENTITY % a SYSTEM "file:///etc/passwd"> %a;]>',
    "billion laughs": b'<!DOCTYPE Delete [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_malformed_document_is_malformed_xml(place: Place, fault: str) -> None:
    document = MALFORMED[fault]
    answer = place.signed("POST", f"/{place.bucket}?delete", document, Content_MD5=content_md5(document))
    assert (answer.status, answer.code) in ((400, "MalformedXML"), (400, "MissingRequestBodyError")), answer
    assert answer.element("RequestId") == answer.headers["x-amz-request-id"]
    assert answer.element("HostId") == answer.headers["x-amz-id-2"]


@pytest.mark.parametrize("declaration", DECLARATIONS)
def test_document_type_declaration_is_refused(place: Place, declaration: str) -> None:
    document = DECLARATIONS[declaration] + delete_document(GOOD)
    answer = place.signed("POST", f"/{place.bucket}?delete", document, Content_MD5=content_md5(document))
    assert (answer.status, answer.code) == (400, "MalformedXML")


def test_deeply_nested_document_is_refused(place: Place) -> None:
    document = b"<Delete>" + b"<Object>" * 100_000 + b"</Object>" * 100_000 + b"</Delete>"
    answer = place.signed("POST", f"/{place.bucket}?delete", document, Content_MD5=content_md5(document))
    assert (answer.status, answer.code) == (400, "MalformedXML")


@pytest.mark.parametrize("operation", ["POST /{bucket}?delete", "POST /{bucket}/k?uploadId=x", "PUT /{bucket}"])
def test_eleven_megabytes_of_xml_are_refused(place: Place, operation: str) -> None:
    method, target = operation.format(bucket=place.bucket).split()
    document = delete_document(" " * 11_000_000)
    answer = place.signed(method, target, document, Content_MD5=content_md5(document))
    assert answer.status == 400
    assert answer.code in ("MalformedXML", "EntityTooLarge", "MaxMessageLengthExceeded")


def test_malformed_bucket_configuration_creates_no_bucket(place: Place, s3: Any) -> None:
    name = f"{place.bucket}-new"
    for document in (b"<CreateBucketConfiguration>", b"<!DOCTYPE a><CreateBucketConfiguration/>", b"rubbish"):
        answer = place.signed("PUT", f"/{name}", document)
        assert (answer.status, answer.code) == (400, "MalformedXML"), document
    assert refusal(s3.head_bucket, Bucket=name).status == 404


def test_malformed_list_of_parts_completes_nothing(place: Place, s3: Any) -> None:
    upload_id = s3.create_multipart_upload(Bucket=place.bucket, Key="k")["UploadId"]
    named = {"Bucket": place.bucket, "Key": "k", "UploadId": upload_id}
    etag = s3.upload_part(PartNumber=1, Body=b"x", **named)["ETag"]
    part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    for inside in (
        "",
        "<Part/>",
        part.replace("1<", "one<"),
        part.replace("1<", "<"),
        part.replace("1<", "99999999999999999999<"),
        part.replace("<PartNumber>1</PartNumber>", ""),
        part + "<Part>",
    ):
        document = f"<CompleteMultipartUpload>{inside}</CompleteMultipartUpload>".encode()
        answer = place.signed("POST", f"{place.target}?uploadId={upload_id}", document)
        assert answer.status == 400, inside
        assert answer.code in ("MalformedXML", "InvalidArgument", "InvalidPart"), inside
    s3.abort_multipart_upload(**named)


def test_delete_objects_without_any_digest_is_refused(place: Place) -> None:
    # "Content-MD5 or an x-amz-checksum-* header is required": the DeleteObjects page.
    answer = place.signed("POST", f"/{place.bucket}?delete", delete_document(GOOD))
    assert (answer.status, answer.code) == (400, "InvalidRequest")
