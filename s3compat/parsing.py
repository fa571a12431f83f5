"""From a request to the input of its operation, under AWS's member names and in Python's types.

Driven by the service model: a plan for each operation says which header, query key or element feeds which
member. Whatever a client sends, the only exception that leaves this module is S3Error. Payloads that are object
bytes are not read here, and digests are not verified here.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from s3compat.errors import S3Error
from s3compat.parameters import Reader, reader_of
from s3compat.request import S3Request
from s3compat.service_model import Kind, Location, Member, Operation, Shape
from s3compat.xml_input import read_document

XML_BODY_LIMIT_BYTES: Final = 1024 * 1024
"""Largest configuration document that is read; AWS's largest, a policy, is 20 KB."""

LONG_XML_BODY_LIMIT_BYTES: Final = 10 * 1024 * 1024
"""Largest list of keys or parts: 1,000 keys of 1,024 bytes, each byte escaped as &amp;, make 5 MB."""

_LONG_BODIES: Final = frozenset({"DeleteObjects", "CompleteMultipartUpload"})

# An empty body is an empty document, with an error of its own, except where the document may be left out.
_OPTIONAL_BODIES: Final = frozenset({"CreateBucket", "PutBucketAcl", "PutObjectAcl", "RestoreObject"})
_ACL_OPERATIONS: Final = frozenset({"PutBucketAcl", "PutObjectAcl"})


class _Field(NamedTuple):
    member: Member
    name: str
    read: Reader | None


class _Plan(NamedTuple):
    """How the input of one operation is read; made once."""

    bucket: str | None
    key: str | None
    headers: Mapping[str, _Field]
    query: Mapping[str, _Field]
    metadata: Member | None
    required: tuple[Member, ...]
    body: Member | None
    body_shape: Shape | None


def needs_xml_body(operation: Operation) -> bool:
    """Whether the request body must be read whole (up to xml_body_limit_bytes) and given to parse_input."""
    plan = _plan(operation)
    return plan.body is not None or plan.body_shape is not None


def xml_body_limit_bytes(operation: Operation) -> int:
    """The largest body that parse_input takes; a longer one may be refused before it is read."""
    return LONG_XML_BODY_LIMIT_BYTES if operation.name in _LONG_BODIES else XML_BODY_LIMIT_BYTES


def parse_input(operation: Operation, request: S3Request, xml_body: bytes | None) -> dict[str, Any]:
    """The members present in a request: str, int, bool, aware datetime, dict, list.

    An empty query value is an empty string for text and absent for anything else. Raises S3Error
    InvalidArgument, InvalidRequest, InvalidStorageClass, MalformedXML, MalformedACLError, MalformedPolicy,
    MissingRequestBodyError, MaxMessageLengthExceeded.
    """
    plan = _plan(operation)
    result: dict[str, Any] = {}
    if plan.bucket is not None and request.bucket is not None:
        result[plan.bucket] = request.bucket
    if plan.key is not None and request.key is not None:
        result[plan.key] = request.key
    for name in request.headers:
        field = plan.headers.get(name)
        if field is not None:
            _read(result, field, request.headers.get(name) or "")
    if request.raw_query:
        for name in request.query:
            field = plan.query.get(name)
            if field is not None:
                _read(result, field, request.query.get(name) or "")
    if plan.metadata is not None:
        _read_metadata(result, plan.metadata, request)
    for member in plan.required:
        if member.name not in result:
            raise _missing(member)
    if plan.body is not None or plan.body_shape is not None:
        _read_body(result, operation, plan, xml_body or b"")
    return result


def _read(result: dict[str, Any], field: _Field, text: str) -> None:
    value = text if field.read is None else field.read(text, field.member)
    if value is not None:
        result[field.name] = value


def _read_metadata(result: dict[str, Any], member: Member, request: S3Request) -> None:
    prefix = member.wire_name
    found = {
        name[len(prefix) :]: request.headers.get(name) or ""
        for name in request.headers
        if name.startswith(prefix) and len(name) > len(prefix)
    }
    if found:
        result[member.name] = found


def _read_body(result: dict[str, Any], operation: Operation, plan: _Plan, body: bytes) -> None:
    limit_bytes = xml_body_limit_bytes(operation)
    if len(body) > limit_bytes:
        raise S3Error("MaxMessageLengthExceeded", MaxMessageLengthBytes=str(limit_bytes))
    if plan.body is not None and plan.body.shape.kind is not Kind.STRUCTURE:
        result[plan.body.name] = _read_policy(body)
        return
    if not body:
        if operation.name in _OPTIONAL_BODIES:
            return
        # Completing an upload with nothing is malformed at AWS, like completing it with an empty list.
        completing = operation.name == "CompleteMultipartUpload"
        raise S3Error("MalformedXML" if completing else "MissingRequestBodyError")
    malformed = "MalformedACLError" if operation.name in _ACL_OPERATIONS else "MalformedXML"
    if plan.body is not None:
        result[plan.body.name] = read_document(body, plan.body.shape, plan.body.wire_name, malformed)
    elif plan.body_shape is not None:
        result.update(read_document(body, plan.body_shape, plan.body_shape.name, malformed))


def _read_policy(body: bytes) -> str:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise S3Error("MalformedPolicy") from error
    if not text:
        raise S3Error("MalformedPolicy")
    return text


def _missing(member: Member) -> S3Error:
    name = member.wire_name
    if name == "x-amz-object-attributes":
        return S3Error(
            "InvalidArgument",
            "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty",
            ArgumentName=name,
            ArgumentValue="",
        )
    if member.location is Location.HEADER:
        return S3Error("InvalidRequest", f"Missing required header for this request: {name}")
    return S3Error("InvalidArgument", f"Missing required parameter: {name}", ArgumentName=name, ArgumentValue="")


@cache
def _plan(operation: Operation) -> _Plan:
    members = operation.input.members
    by_location: dict[Location, list[Member]] = {location: [] for location in Location}
    for member in members:
        by_location[member.location].append(member)
    uri = {member.wire_name: member.name for member in by_location[Location.URI]}
    payload = operation.input_payload
    return _Plan(
        bucket=uri.get("Bucket"),
        key=uri.get("Key"),
        headers={
            member.wire_name.lower(): _Field(member, member.name, reader_of(member))
            for member in by_location[Location.HEADER]
        },
        query={
            member.wire_name: _Field(member, member.name, reader_of(member)) for member in by_location[Location.QUERY]
        },
        metadata=next(iter(by_location[Location.HEADERS]), None),
        required=tuple(
            member for member in members if member.required and member.location in (Location.HEADER, Location.QUERY)
        ),
        body=None if payload is None or payload.streaming else payload,
        body_shape=operation.input if payload is None and by_location[Location.BODY] else None,
    )
