"""DeleteObject and DeleteObjects.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
"""

from gateway.context import Answer, Context, Input, Output
from gateway.index.errors import IndexRefusal, ObjectLocked
from gateway.index.records import DeleteResult, Deletion
from gateway.operations.versioning import check_version_id
from gateway.refusals import locked
from gateway.translation import to_s3_error
from s3compat.conditions import unquote_etag
from s3compat.errors import S3Error
from s3compat.policy import RESOURCE_PREFIX

#: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
KEYS_LIMIT = 1000
KEY_LIMIT_BYTES = 1024
#: Conditions that AWS has for directory buckets only.
DIRECTORY_ONLY = {
    "IfMatchLastModifiedTime": "x-amz-if-match-last-modified-time",
    "IfMatchSize": "x-amz-if-match-size",
}


async def delete_object(context: Context, params: Input) -> Answer:
    """DeleteObject: 204 whether or not there was an object. Raises PreconditionFailed, AccessDenied (locked)."""
    for member, header in DIRECTORY_ONLY.items():
        if member in params:
            raise S3Error("NotImplemented", Header=header)
    version_id: str | None = params.get("VersionId")
    check_version_id(version_id)
    deletion = Deletion(
        key=context.key,
        version_id=version_id,
        if_match=_etag(params.get("IfMatch")),
        bypass_governance=bool(params.get("BypassGovernanceRetention")),
    )
    result = await context.index.delete_object(
        context.target_bucket.name,
        deletion,
        owner_id=context.identity.canonical_id,
        now_ms=context.now_ms,
        bucket_id=context.target_bucket.bucket_id,
    )
    return Answer(output=_marker_members(version_id, result))


def _marker_members(version_id: str | None, result: DeleteResult) -> Output:
    output: Output = {}
    if version_id is not None or result.version_id is not None:
        output["VersionId"] = version_id or result.version_id
    if result.delete_marker:
        output["DeleteMarker"] = True
    return output


async def delete_objects(context: Context, params: Input) -> Answer:
    """DeleteObjects: up to 1,000 keys, each with its own outcome.

    Raises MalformedXML (none, or too many), InvalidRequest (neither Content-MD5 nor a checksum was sent).
    """
    headers = context.request.headers
    if "content-md5" not in headers and context.payload.requested_checksum is None:
        raise S3Error("InvalidRequest", "Missing required header for this request: Content-MD5")
    document: Input = params["Delete"]
    wanted: list[Input] = document.get("Objects") or []
    if not 1 <= len(wanted) <= KEYS_LIMIT:
        raise S3Error("MalformedXML")
    deletions, errors = _split(context, wanted, bypass=bool(params.get("BypassGovernanceRetention")))
    results = await context.index.delete_objects(
        context.target_bucket.name,
        deletions,
        owner_id=context.identity.canonical_id,
        now_ms=context.now_ms,
        bucket_id=context.target_bucket.bucket_id,
    )
    deleted: list[Output] = []
    for deletion, result in zip(deletions, results, strict=True):
        if isinstance(result, IndexRefusal):
            errors.append(_error(deletion.key, deletion.version_id, to_s3_error(result)))
            if isinstance(result, ObjectLocked):
                resource = f"{RESOURCE_PREFIX}{context.target_bucket.name}/{deletion.key}"
                context.access.remember(locked(resource))
        else:
            deleted.append(_deleted(deletion, result))
    output: Output = {}
    if deleted and not document.get("Quiet"):
        output["Deleted"] = deleted
    if errors:
        output["Errors"] = errors
    return Answer(output=output)


def _split(context: Context, wanted: list[Input], *, bypass: bool) -> tuple[list[Deletion], list[Output]]:
    """The deletes that may be tried, and errors for those that may not and for keys that no object can have."""
    deletions: list[Deletion] = []
    errors: list[Output] = []
    for entry in wanted:
        key: str = entry["Key"]
        version_id: str | None = entry.get("VersionId")
        if not key:
            raise S3Error("UserKeyMustBeSpecified")
        if len(key.encode()) > KEY_LIMIT_BYTES:
            errors.append(_error(key, version_id, S3Error("KeyTooLongError")))
            continue
        if "LastModifiedTime" in entry or "Size" in entry:
            # AWS: these two conditions exist for directory buckets only.
            errors.append(_error(key, version_id, S3Error("NotImplemented")))
            continue
        try:
            check_version_id(version_id)
        except S3Error:
            errors.append(_error(key, version_id, S3Error("NoSuchVersion")))
            continue
        if not context.access.may_delete(context.target_bucket, key, version_id):
            errors.append(_error(key, version_id, S3Error("AccessDenied")))
            continue
        etag = _etag(entry.get("ETag"))
        deletions.append(Deletion(key=key, version_id=version_id, if_match=etag, bypass_governance=bypass))
    return deletions, errors


def _etag(text: str | None) -> str | None:
    return None if text is None else unquote_etag(text)


def _deleted(deletion: Deletion, result: DeleteResult) -> Output:
    output: Output = {"Key": deletion.key}
    if deletion.version_id is not None:
        output["VersionId"] = deletion.version_id
    if result.delete_marker:
        output["DeleteMarker"] = True
        output["DeleteMarkerVersionId"] = result.version_id
    return output


def _error(key: str, version_id: str | None, error: S3Error) -> Output:
    output: Output = {"Key": key, "Code": error.code, "Message": error.message}
    if version_id is not None:
        output["VersionId"] = version_id
    return output
