"""Requests as AWS documents them -> operations, and what no operation answers."""

import pytest

from s3compat.errors import S3Error
from s3compat.routing import CORS_PREFLIGHT, POST_OBJECT, find_operation
from tests.s3compat.oracle import build

COPY = [("x-amz-copy-source", "/a/b")]
FORM = [("Content-Type", "Multipart/Form-Data; boundary=x")]


@pytest.mark.parametrize(
    ("method", "target", "operation"),
    [
        ("GET", "/", "ListBuckets"),
        ("GET", "/?max-buckets=3", "ListBuckets"),
        ("GET", "/?max-directory-buckets=3", "ListDirectoryBuckets"),
        ("PUT", "/b", "CreateBucket"),
        ("PUT", "/b/", "CreateBucket"),
        ("HEAD", "/b", "HeadBucket"),
        ("DELETE", "/b", "DeleteBucket"),
        ("GET", "/b", "ListObjects"),
        ("GET", "/b?prefix=x&marker=y", "ListObjects"),
        ("GET", "/b?unknown=1", "ListObjects"),
        ("GET", "/b?list-type=2", "ListObjectsV2"),
        ("GET", "/b/?list-type=2&prefix=a", "ListObjectsV2"),
        ("GET", "/b?versions&list-type=2", "ListObjectVersions"),
        ("GET", "/b?versions", "ListObjectVersions"),
        ("GET", "/b?uploads", "ListMultipartUploads"),
        ("GET", "/b?location", "GetBucketLocation"),
        ("GET", "/b?acl=", "GetBucketAcl"),
        ("GET", "/b?lifecycle", "GetBucketLifecycleConfiguration"),
        ("PUT", "/b?lifecycle", "PutBucketLifecycleConfiguration"),
        ("GET", "/b?notification", "GetBucketNotificationConfiguration"),
        ("GET", "/b?analytics", "ListBucketAnalyticsConfigurations"),
        ("GET", "/b?analytics&id=1", "GetBucketAnalyticsConfiguration"),
        ("GET", "/b?inventory&id=1", "GetBucketInventoryConfiguration"),
        ("GET", "/b?metrics&continuation-token=1", "ListBucketMetricsConfigurations"),
        ("PUT", "/b?analytics", "PutBucketAnalyticsConfiguration"),
        ("DELETE", "/b?metrics", "DeleteBucketMetricsConfiguration"),
        ("POST", "/b?delete", "DeleteObjects"),
        ("GET", "/b?session", "CreateSession"),
        ("POST", "/WriteGetObjectResponse", "WriteGetObjectResponse"),
        ("GET", "/b/k", "GetObject"),
        ("GET", "/b/k?partNumber=1", "GetObject"),
        ("GET", "/b/k?versionId=x&response-expires=y&x-id=GetObject", "GetObject"),
        ("GET", "/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=x", "GetObject"),
        ("GET", "/b/k?uploadId=", "ListParts"),
        ("GET", "/b/k?uploadId=x&max-parts=1", "ListParts"),
        ("GET", "/b/k?acl", "GetObjectAcl"),
        ("GET", "/b/k?attributes&versionId=1", "GetObjectAttributes"),
        ("GET", "/b/k?annotation&annotationName=n", "GetObjectAnnotation"),
        ("GET", "/b/k?annotation", "ListObjectAnnotations"),
        ("HEAD", "/b/k", "HeadObject"),
        ("HEAD", "/b/k?acl&tagging&uploadId=1", "HeadObject"),
        ("HEAD", "/b?versions", "HeadBucket"),
        ("PUT", "/b/k", "PutObject"),
        ("PUT", "/b/k?x-id=PutObject", "PutObject"),
        ("PUT", "/b/k?partNumber=1&uploadId=x", "UploadPart"),
        ("PUT", "/b/k?uploadId=x", "UploadPart"),
        ("PUT", "/b/k?partNumber=1", "UploadPart"),
        ("PUT", "/b/k?renameObject", "RenameObject"),
        ("PUT", "/b/k?encryption", "UpdateObjectEncryption"),
        ("DELETE", "/b/k", "DeleteObject"),
        ("DELETE", "/b/k?versionId=x", "DeleteObject"),
        ("DELETE", "/b/k?uploadId=x", "AbortMultipartUpload"),
        ("DELETE", "/b/k?tagging", "DeleteObjectTagging"),
        ("POST", "/b/k?uploads", "CreateMultipartUpload"),
        ("POST", "/b/k?uploadId=x", "CompleteMultipartUpload"),
        ("POST", "/b/k?restore", "RestoreObject"),
        ("POST", "/b/k?select&select-type=2", "SelectObjectContent"),
        ("GET", "/b/k?location=here", None),
        ("GET", "/b/k?session=1&metrics=2", "GetObject"),
        ("OPTIONS", "/b/k?acl", "CorsPreflight"),
        ("OPTIONS", "/", "CorsPreflight"),
    ],
)
def test_requests_find_their_operation(method: str, target: str, operation: str | None) -> None:
    path, _, query = target.partition("?")
    request = build(method, path.encode(), query.encode())
    if operation is None:
        with pytest.raises(S3Error):
            find_operation(request)
    else:
        assert find_operation(request).name == operation


def test_a_copy_source_makes_a_copy() -> None:
    assert find_operation(build("PUT", b"/b/k", headers=COPY)).name == "CopyObject"
    part = build("PUT", b"/b/k", b"partNumber=1&uploadId=x", COPY)
    assert find_operation(part).name == "UploadPartCopy"
    assert find_operation(build("GET", b"/b/k", headers=COPY)).name == "GetObject"
    assert find_operation(build("PUT", b"/b/k", b"acl", COPY)).name == "PutObjectAcl"


def test_browser_requests_have_operations_of_their_own() -> None:
    assert find_operation(build("POST", b"/b", headers=FORM)) is POST_OBJECT
    assert find_operation(build("POST", b"/", headers=[*FORM, ("host", "b.x.com")], domains=("x.com",))) is POST_OBJECT
    assert find_operation(build("OPTIONS", b"/b")) is CORS_PREFLIGHT


@pytest.mark.parametrize(
    ("method", "target", "code", "elements"),
    [
        ("POST", "/", "MethodNotAllowed", {"Method": "POST", "ResourceType": "SERVICE"}),
        ("HEAD", "/", "MethodNotAllowed", {"Method": "HEAD", "ResourceType": "SERVICE"}),
        ("PATCH", "/b/k", "MethodNotAllowed", {"Method": "PATCH", "ResourceType": "OBJECT"}),
        ("get", "/b/k", "MethodNotAllowed", {"Method": "get", "ResourceType": "OBJECT"}),
        ("POST", "/b/k", "MethodNotAllowed", {"Method": "POST", "ResourceType": "OBJECT"}),
        ("POST", "/b/k?acl", "MethodNotAllowed", {"Method": "POST", "ResourceType": "ACL"}),
        ("DELETE", "/b?acl", "MethodNotAllowed", {"Method": "DELETE", "ResourceType": "ACL"}),
        ("PUT", "/b?policyStatus", "MethodNotAllowed", {"Method": "PUT", "ResourceType": "POLICYSTATUS"}),
        ("DELETE", "/b/k?legal-hold", "MethodNotAllowed", {"Method": "DELETE", "ResourceType": "LEGALHOLD"}),
        ("GET", "/b?acl&policy", "InvalidArgument", {"ArgumentName": "ResourceType", "ArgumentValue": "acl"}),
        ("PUT", "/b/k?tagging&acl", "InvalidArgument", {"ArgumentName": "ResourceType", "ArgumentValue": "acl"}),
        ("GET", "/b?list-type=3", "InvalidArgument", {"ArgumentName": "list-type", "ArgumentValue": "3"}),
        ("PUT", "/b/k?policy", "InvalidArgument", {"ArgumentName": "ResourceType", "ArgumentValue": "policy"}),
        ("PUT", "/b/k?logging", "NoLoggingStatusForKey", {}),
        ("DELETE", "/b?retention", "InvalidArgument", {"ArgumentName": "ResourceType", "ArgumentValue": "retention"}),
        ("GET", "/b?torrent", "RequestTorrentOfBucketError", {}),
    ],
)
def test_requests_that_no_operation_answers(method: str, target: str, code: str, elements: dict[str, str]) -> None:
    path, _, query = target.partition("?")
    with pytest.raises(S3Error) as caught:
        find_operation(build(method, path.encode(), query.encode()))
    assert caught.value.code == code
    assert dict(caught.value.elements) == elements


def test_method_not_allowed_names_the_methods_that_are() -> None:
    with pytest.raises(S3Error) as caught:
        find_operation(build("DELETE", b"/b", b"acl"))
    assert caught.value.headers == {"Allow": "GET, PUT"}


def test_a_post_to_a_bucket_that_is_no_form_fails_its_precondition() -> None:
    with pytest.raises(S3Error) as caught:
        find_operation(build("POST", b"/b", headers=[("content-type", "text/plain")]))
    assert caught.value.code == "PreconditionFailed"
    assert caught.value.elements["Condition"].startswith("Bucket POST must be")
