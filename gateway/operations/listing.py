"""ListObjects and ListObjectsV2.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html
"""

import base64
import binascii
from collections.abc import Callable

from gateway.context import Answer, Context, Input, Output
from gateway.index.records import ListedObject, ListPosition, ObjectPage
from gateway.operations.times import from_ms
from s3compat.conditions import quote_etag
from s3compat.errors import S3Error
from s3compat.serialization import url_encode_key

#: Largest page, whatever the client asks for.
PAGE_LIMIT = 1000

Encode = Callable[[str], str]


def key_encoder(params: Input) -> Encode:
    """How keys are written: as they are, or percent-encoded under encoding-type=url."""
    return url_encode_key if params.get("EncodingType") == "url" else str


def page_limit(params: Input, member: str, argument: str) -> int:
    """max-keys and its kin: 1,000 at most; raises InvalidArgument when negative."""
    limit: int = params.get(member, PAGE_LIMIT)
    if limit < 0:
        raise S3Error(
            "InvalidArgument",
            f"Argument {argument} must be an integer between 0 and 2147483647",
            ArgumentName=argument,
            ArgumentValue=str(limit),
        )
    return limit


async def list_objects(context: Context, params: Input) -> Answer:
    """ListObjects, the first version: paging by marker. Raises InvalidArgument."""
    encode = key_encoder(params)
    limit = page_limit(params, "MaxKeys", "maxKeys")
    marker: str = params.get("Marker") or ""
    page = await _page(context, params, position_after(params, marker), limit)
    output = _common_members(params, page, limit, encode)
    output["Marker"] = encode(marker)
    output["Contents"] = [_contents(context, one, encode, with_owner=True) for one in page.objects]
    if page.next is not None and params.get("Delimiter"):
        output["NextMarker"] = encode(page.next.value)
    return Answer(output=output)


async def list_objects_v2(context: Context, params: Input) -> Answer:
    """ListObjectsV2: paging by continuation token. Raises InvalidArgument for a token that is not ours."""
    encode = key_encoder(params)
    limit = page_limit(params, "MaxKeys", "maxKeys")
    start_after: str = params.get("StartAfter") or ""
    token: str | None = params.get("ContinuationToken")
    after = position_after(params, start_after) if token is None else decode_token(token)
    page = await _page(context, params, after, limit)
    output = _common_members(params, page, limit, encode)
    with_owner = bool(params.get("FetchOwner"))
    output["Contents"] = [_contents(context, one, encode, with_owner=with_owner) for one in page.objects]
    output["KeyCount"] = len(page.objects) + len(page.common_prefixes)
    if start_after:
        output["StartAfter"] = encode(start_after)
    if token is not None:
        output["ContinuationToken"] = token
    if page.next is not None:
        output["NextContinuationToken"] = encode_token(page.next)
    return Answer(output=output)


def position_after(params: Input, marker: str) -> ListPosition | None:
    """Where a listing begins that names a marker: a marker that is a common prefix stands for all of its keys."""
    if not marker:
        return None
    prefix, delimiter = params.get("Prefix") or "", params.get("Delimiter") or ""
    rest = marker[len(prefix) :] if delimiter and marker.startswith(prefix) else ""
    is_prefix = bool(rest) and rest.endswith(delimiter) and rest.find(delimiter) == len(rest) - len(delimiter)
    return ListPosition(value=marker, is_prefix=is_prefix)


async def _page(context: Context, params: Input, after: ListPosition | None, limit: int) -> ObjectPage:
    return await context.index.list_objects(
        context.target_bucket.name,
        prefix=params.get("Prefix") or "",
        delimiter=params.get("Delimiter") or "",
        after=after,
        limit=min(limit, PAGE_LIMIT),
    )


def _common_members(params: Input, page: ObjectPage, limit: int, encode: Encode) -> Output:
    return {
        "Name": params["Bucket"],
        "Prefix": encode(params.get("Prefix") or ""),
        "MaxKeys": min(limit, PAGE_LIMIT),
        "IsTruncated": page.truncated,
        "CommonPrefixes": [{"Prefix": encode(prefix)} for prefix in page.common_prefixes],
        **echoed_members(params, encode),
    }


def echoed_members(params: Input, encode: Encode) -> Output:
    """What every list repeats of the request where it was given."""
    output: Output = {}
    if params.get("Delimiter"):
        output["Delimiter"] = encode(params["Delimiter"])
    if params.get("EncodingType"):
        output["EncodingType"] = params["EncodingType"]
    return output


def _contents(context: Context, listed: ListedObject, encode: Encode, *, with_owner: bool) -> Output:
    record = listed.record
    entry: Output = {
        "Key": encode(listed.key),
        "LastModified": from_ms(record.modified_ms),
        "ETag": quote_etag(record.etag),
        "Size": record.size_bytes,
        "StorageClass": record.header("x-amz-storage-class") or "STANDARD",
    }
    if record.checksum is not None:
        entry["ChecksumAlgorithm"] = [record.checksum.algorithm]
        entry["ChecksumType"] = record.checksum.type
    if with_owner:
        entry["Owner"] = owner_member(context, record.owner_id)
    return entry


def owner_member(context: Context, owner_id: str) -> Output:
    """An owner as lists show it; the display name is known for the caller itself."""
    if owner_id == context.identity.canonical_id:
        return {"ID": owner_id, "DisplayName": context.identity.display_name}
    return {"ID": owner_id}


def encode_token(position: ListPosition) -> str:
    """A continuation token: opaque to clients; for us ``k`` or ``p`` (key or common prefix) and its text."""
    kind = b"p" if position.is_prefix else b"k"
    return base64.urlsafe_b64encode(kind + position.value.encode()).decode()


def decode_token(token: str) -> ListPosition:
    """The place a token stands for; raises InvalidArgument."""
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
        if raw[:1] not in (b"k", b"p"):
            raise ValueError(token)
        return ListPosition(value=raw[1:].decode(), is_prefix=raw[:1] == b"p")
    except (binascii.Error, ValueError) as malformed:
        raise S3Error(
            "InvalidArgument",
            "The continuation token provided is incorrect",
            ArgumentName="continuation-token",
        ) from malformed
