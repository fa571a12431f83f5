"""Versioning of a bucket and the list of its versions.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/Versioning.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
"""

from gateway.context import Answer, Context, Input, Output
from gateway.index.object_encoding import order_of_version_id
from gateway.index.records import NULL_VERSION, ListedVersion, Versioning, VersionPosition
from gateway.operations.listing import (
    PAGE_LIMIT,
    Encode,
    echoed_members,
    key_encoder,
    owner_member,
    page_limit,
    position_after,
)
from gateway.operations.times import from_ms
from s3compat.conditions import quote_etag
from s3compat.errors import S3Error


def check_version_id(version_id: str | None) -> None:
    """Raise InvalidArgument for text that cannot be a version id, as AWS does before it looks for the version."""
    if version_id is None or version_id == NULL_VERSION or order_of_version_id(version_id) is not None:
        return
    message = "Invalid version id specified" if version_id else "Version id cannot be the empty string"
    raise S3Error("InvalidArgument", message, ArgumentName="versionId", ArgumentValue=version_id)


async def put_bucket_versioning(context: Context, params: Input) -> Answer:
    """PutBucketVersioning.

    Raises IllegalVersioningConfigurationException, AccessDenied (MFA delete needs a device, and there are none here),
    MalformedXML, NoSuchBucket.
    """
    configuration: Input = params["VersioningConfiguration"]
    if configuration.get("MFADelete") == "Enabled" or "MFA" in params:
        raise S3Error("AccessDenied", "Mfa Authentication must be used for this request")
    status: str | None = configuration.get("Status")
    if status is None:
        raise S3Error("IllegalVersioningConfigurationException", "The Versioning element must be specified")
    await context.index.set_versioning(context.target_bucket.name, Versioning(status))
    return Answer()


async def get_bucket_versioning(context: Context, params: Input) -> Answer:
    """GetBucketVersioning: nothing for a bucket that never had versions. Raises NoSuchBucket."""
    versioning = context.target_bucket.versioning
    return Answer(output={"Status": versioning.value} if versioning else {})


async def list_object_versions(context: Context, params: Input) -> Answer:
    """ListObjectVersions: versions and delete markers by key, newest first. Raises InvalidArgument."""
    encode = key_encoder(params)
    limit = page_limit(params, "MaxKeys", "maxKeys")
    key_marker: str = params.get("KeyMarker") or ""
    id_marker: str = params.get("VersionIdMarker") or ""
    if id_marker and not key_marker:
        raise S3Error(
            "InvalidArgument",
            "A version-id marker cannot be specified without a key marker.",
            ArgumentName="version-id-marker",
            ArgumentValue=id_marker,
        )
    if id_marker:
        check_version_id(id_marker)
    page = await context.index.list_versions(
        context.target_bucket.name,
        prefix=params.get("Prefix") or "",
        delimiter=params.get("Delimiter") or "",
        after=_position(params, key_marker, id_marker),
        limit=min(limit, PAGE_LIMIT),
    )
    output: Output = {
        "Name": params["Bucket"],
        "Prefix": encode(params.get("Prefix") or ""),
        "KeyMarker": encode(key_marker),
        "VersionIdMarker": id_marker,
        "MaxKeys": min(limit, PAGE_LIMIT),
        "IsTruncated": page.truncated,
        "Versions": [_version(context, one, encode) for one in page.versions if not one.record.delete_marker],
        "DeleteMarkers": [_marker(context, one, encode) for one in page.versions if one.record.delete_marker],
        "CommonPrefixes": [{"Prefix": encode(prefix)} for prefix in page.common_prefixes],
    }
    output.update(echoed_members(params, encode))
    if page.next is not None:
        output["NextKeyMarker"] = encode(page.next.value)
        if page.next.version_id is not None:
            output["NextVersionIdMarker"] = page.next.version_id
    return Answer(output=output)


def _position(params: Input, key_marker: str, id_marker: str) -> VersionPosition | None:
    position = position_after(params, key_marker)
    if position is None:
        return None
    return VersionPosition(
        value=position.value, version_id=id_marker or None, is_prefix=position.is_prefix and not id_marker
    )


def _marker(context: Context, listed: ListedVersion, encode: Encode) -> Output:
    return {
        "Key": encode(listed.key),
        "VersionId": listed.record.version_id,
        "IsLatest": listed.is_latest,
        "LastModified": from_ms(listed.record.modified_ms),
        "Owner": owner_member(context, listed.record.owner_id),
    }


def _version(context: Context, listed: ListedVersion, encode: Encode) -> Output:
    record = listed.record
    entry = _marker(context, listed, encode) | {
        "ETag": quote_etag(record.etag),
        "Size": record.size_bytes,
        "StorageClass": record.header("x-amz-storage-class") or "STANDARD",
    }
    if record.checksum is not None:
        entry["ChecksumAlgorithm"] = [record.checksum.algorithm]
        entry["ChecksumType"] = record.checksum.type
    return entry
