"""From a request to the operation that it asks for.

Tables are built once from the service model: (method, kind of path, subresource) -> candidates. Where
several operations share those three, the query keys that an operation requires decide (uploadId, id,
annotationName), and after them the x-amz-copy-source header. What AWS refuses for its address alone is
refused here; no parameter is parsed.
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final, NamedTuple

from s3compat.errors import S3Error
from s3compat.request import S3Request
from s3compat.service_model import (
    EMPTY_SHAPE,
    ChecksumTraits,
    Location,
    Operation,
    PathKind,
    load,
)

COPY_SOURCE_HEADER: Final = "x-amz-copy-source"
LIST_TYPE: Final = "list-type"
WRITE_GET_OBJECT_RESPONSE: Final = "WriteGetObjectResponse"  # at AWS a host of its own; its path is its name


def _special(name: str, method: str, path_kind: PathKind, success_status: int) -> Operation:
    return Operation(
        name=name,
        method=method,
        path_kind=path_kind,
        query=(),
        input=EMPTY_SHAPE,
        output=EMPTY_SHAPE,
        success_status=success_status,
        checksum=ChecksumTraits(),
        error_codes=(),
        deprecated=False,
    )


CORS_PREFLIGHT: Final = _special("CorsPreflight", "OPTIONS", PathKind.OBJECT, 200)
"""An OPTIONS request on anything. Not in the service model: browsers call it, not SDKs."""

POST_OBJECT: Final = _special("PostObject", "POST", PathKind.BUCKET, 204)
"""A browser's form upload to a bucket (AWS: "POST Object"). Not in the service model either."""

# Subresources of buckets that AWS refuses on a key instead of ignoring: `PUT /b/k?policy` must not write k.
_BUCKET_ONLY: Final = frozenset(
    {
        *("cors", "delete", "lifecycle", "location", "logging", "notification", "policy", "replication"),
        *("requestPayment", "versioning", "versions", "website"),
    }
)
_RESOURCE_TYPES: Final = {
    PathKind.SERVICE: "SERVICE",
    PathKind.BUCKET: "BUCKET",
    PathKind.OBJECT: "OBJECT",
}


class _Candidate(NamedTuple):
    operation: Operation
    required_query: tuple[str, ...]
    copies: bool


class _Tables(NamedTuple):
    candidates: Mapping[tuple[str, PathKind, str], tuple[_Candidate, ...]]
    subresources: Mapping[PathKind, frozenset[str]]
    methods: Mapping[tuple[PathKind, str], tuple[str, ...]]


def find_operation(request: S3Request) -> Operation:
    """The operation of a request: one of the service model's, CORS_PREFLIGHT or POST_OBJECT.

    Raises S3Error MethodNotAllowed, InvalidArgument (subresources that exclude each other or do not exist on
    this kind of path), PreconditionFailed (a POST to a bucket that is no form), NoLoggingStatusForKey,
    RequestTorrentOfBucketError.
    """
    method = request.method
    if method == "OPTIONS":
        return CORS_PREFLIGHT
    kind = PathKind.OBJECT if request.key is not None else PathKind.BUCKET
    if request.bucket is None:
        kind = PathKind.SERVICE
    # HEAD knows no subresources: a head of `?acl` is a head of the object.
    subresource = _subresource(request, kind) if request.raw_query and method != "HEAD" else ""
    candidates = _tables().candidates.get((method, kind, subresource))
    if candidates is None:
        return _exceptional(request, kind, subresource)
    if len(candidates) == 1 and (subresource or not candidates[0].required_query):
        return candidates[0].operation
    return _choose(request, candidates, kind, subresource)


def _choose(request: S3Request, candidates: tuple[_Candidate, ...], kind: PathKind, subresource: str) -> Operation:
    """The candidate whose required query keys the request has most of.

    One such key is enough: `PUT /b/k?uploadId=X` is an UploadPart that lacks its number, and must never
    become a PutObject that replaces the object.
    """
    copies = COPY_SOURCE_HEADER in request.headers
    best: _Candidate | None = None
    most = -1
    for candidate in candidates:
        present = sum(key in request.query for key in candidate.required_query)
        if (candidate.required_query and not present) or (candidate.copies and not copies):
            continue
        score = 2 * present + (candidate.copies and copies)
        if score > most:
            best, most = candidate, score
    if best is None:
        raise _not_allowed(request.method, kind, subresource)
    return best.operation


def _subresource(request: S3Request, kind: PathKind) -> str:
    """The one subresource that the query names, '' for none."""
    known = _tables().subresources[kind]
    named = [key for key in request.query if key in known and key != LIST_TYPE]
    if len(named) > 1:
        raise S3Error(
            "InvalidArgument",
            f"Conflicting query string parameters: {', '.join(sorted(named))}",
            ArgumentName="ResourceType",
            ArgumentValue=min(named),
        )
    if named:
        return named[0]
    if kind is not PathKind.SERVICE:
        _refuse_misplaced(request, kind)
    return _list_type(request) if kind is PathKind.BUCKET else ""


def _list_type(request: S3Request) -> str:
    """`list-type=2` picks a version of the listing; it is no subresource and yields to any."""
    value = request.query.get(LIST_TYPE)
    if value is None or request.method != "GET":
        return ""
    if value != "2":
        raise S3Error("InvalidArgument", "Invalid List Type", ArgumentName=LIST_TYPE, ArgumentValue=value)
    return LIST_TYPE


def _refuse_misplaced(request: S3Request, kind: PathKind) -> None:
    """Refuse a subresource that exists only on the other kind of path, where ignoring it would do harm."""
    query = request.query
    if kind is PathKind.OBJECT:
        misplaced = sorted(_BUCKET_ONLY.intersection(query))
        if "logging" in misplaced:
            raise S3Error("NoLoggingStatusForKey")
        what = "key"
    else:
        if request.method == "GET" and "torrent" in query:
            raise S3Error("RequestTorrentOfBucketError")
        if request.method == "GET":
            return
        misplaced = sorted(_tables().subresources[PathKind.OBJECT].intersection(query))
        what = "bucket"
    if misplaced:
        raise S3Error(
            "InvalidArgument",
            f"There is no such thing as the ?{misplaced[0]} sub-resource for a {what}",
            ArgumentName="ResourceType",
            ArgumentValue=misplaced[0],
        )


def _exceptional(request: S3Request, kind: PathKind, subresource: str) -> Operation:
    """Requests that no table holds: the two POSTs outside REST, and refusals."""
    if request.method == "POST" and kind is PathKind.BUCKET and not subresource:
        if request.bucket == WRITE_GET_OBJECT_RESPONSE:
            return load().operations[WRITE_GET_OBJECT_RESPONSE]
        content_type = request.headers.get("content-type") or ""
        if content_type.partition(";")[0].strip().lower() == "multipart/form-data":
            return POST_OBJECT
        raise S3Error(
            "PreconditionFailed",
            Condition="Bucket POST must be of the enclosure-type multipart/form-data",
        )
    raise _not_allowed(request.method, kind, subresource)


def _not_allowed(method: str, kind: PathKind, subresource: str) -> S3Error:
    allowed = _tables().methods.get((kind, subresource), ())
    return S3Error(
        "MethodNotAllowed",
        headers={"Allow": ", ".join(allowed)} if allowed else {},
        Method=method,
        ResourceType=subresource.replace("-", "").upper() or _RESOURCE_TYPES[kind],
    )


@cache
def _tables() -> _Tables:
    candidates: dict[tuple[str, PathKind, str], list[_Candidate]] = {}
    subresources: dict[PathKind, set[str]] = {kind: set() for kind in PathKind}
    methods: dict[tuple[PathKind, str], set[str]] = {}
    for operation in load().operations.values():
        # A deprecated operation is an older name of the same request; its successor reads the same document.
        if operation.deprecated or operation.name == WRITE_GET_OBJECT_RESPONSE:
            continue
        subresource = operation.query[0][0] if operation.query else ""
        if subresource:
            subresources[operation.path_kind].add(subresource)
        key = (operation.method, operation.path_kind, subresource)
        candidates.setdefault(key, []).append(_candidate(operation))
        methods.setdefault((operation.path_kind, subresource), set()).add(operation.method)
    return _Tables(
        candidates=MappingProxyType({key: tuple(found) for key, found in candidates.items()}),
        subresources=MappingProxyType({kind: frozenset(names) for kind, names in subresources.items()}),
        methods=MappingProxyType({key: tuple(sorted(names)) for key, names in methods.items()}),
    )


def _candidate(operation: Operation) -> _Candidate:
    required = tuple(
        member.wire_name for member in operation.input.members if member.required and member.location is Location.QUERY
    )
    if operation.name == "ListDirectoryBuckets":
        # Told from ListBuckets by its host name at AWS; here by the one parameter that only it has.
        required = ("max-directory-buckets",)
    copies = any(member.required and member.wire_name == COPY_SOURCE_HEADER for member in operation.input.members)
    return _Candidate(operation, required, copies)
