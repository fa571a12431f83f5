"""From the output of an operation, or an S3Error, to status, headers and body.

Here are the names of AWS's documents and what its answers do beside the service model. Content-Length, request
ids, Date and Server are the endpoint's; object bytes are streamed by it.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import quote_plus

from s3compat.errors import S3Error
from s3compat.scalars import http_date, iso_milliseconds
from s3compat.service_model import XML_NAMESPACE, Kind, Location, Member, Operation, Shape
from s3compat.xml_output import Write, content_writer, escape

_XML_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_XML_TYPE: Final = ("Content-Type", "application/xml")
_PARTIAL_CONTENT: Final = 206

# Operation -> root of its document, from the API reference (and the xmlName traits of the Smithy model, which the
# Rust and Go SDKs compare). Where the output has a payload member, the root is that member's name.
_ROOTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "CompleteMultipartUpload": "CompleteMultipartUploadResult",
        "CreateMultipartUpload": "InitiateMultipartUploadResult",
        "CreateSession": "CreateSessionResult",
        "DeleteObjects": "DeleteResult",
        "GetBucketAccelerateConfiguration": "AccelerateConfiguration",
        "GetBucketAcl": "AccessControlPolicy",
        "GetBucketCors": "CORSConfiguration",
        "GetBucketLifecycle": "LifecycleConfiguration",
        "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
        "GetBucketLocation": "LocationConstraint",
        "GetBucketLogging": "BucketLoggingStatus",
        "GetBucketNotification": "NotificationConfiguration",
        "GetBucketNotificationConfiguration": "NotificationConfiguration",
        "GetBucketRequestPayment": "RequestPaymentConfiguration",
        "GetBucketTagging": "Tagging",
        "GetBucketVersioning": "VersioningConfiguration",
        "GetBucketWebsite": "WebsiteConfiguration",
        "GetObjectAcl": "AccessControlPolicy",
        "GetObjectAttributes": "GetObjectAttributesResponse",
        "GetObjectTagging": "Tagging",
        "ListBucketAnalyticsConfigurations": "ListBucketAnalyticsConfigurationResult",
        "ListBucketIntelligentTieringConfigurations": "ListBucketIntelligentTieringConfigurationsOutput",
        "ListBucketInventoryConfigurations": "ListInventoryConfigurationsResult",
        "ListBucketMetricsConfigurations": "ListMetricsConfigurationsResult",
        "ListBuckets": "ListAllMyBucketsResult",
        "ListDirectoryBuckets": "ListAllMyDirectoryBucketsResult",
        "ListMultipartUploads": "ListMultipartUploadsResult",
        "ListObjectVersions": "ListVersionsResult",
        "ListObjects": "ListBucketResult",
        "ListObjectsV2": "ListBucketResult",
        "ListParts": "ListPartsResult",
    }
)
# The model says 200; AWS answers as the sample responses of its API reference show.
_STATUSES: Final[Mapping[str, int]] = MappingProxyType({"PutBucketPolicy": 204, "PutBucketTagging": 204})

_UNSAFE_IN_HEADER: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedResponse:
    """An answer but for what the endpoint adds. `body` is empty where object bytes follow."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class _Header(NamedTuple):
    name: str
    text: Callable[[Any], str]


class _Plan(NamedTuple):
    """How the output of one operation is rendered; made once."""

    headers: Mapping[str, _Header]
    metadata: Member | None
    root: str | None
    payload: str | None
    write: Write | None
    status: int


def render(operation: Operation, output: dict[str, Any]) -> RenderedResponse:
    """Render an output; members that are None or that the model does not know are left out.

    A ContentRange makes the status 206. Of a streaming payload nothing is rendered.
    """
    plan = _plan(operation)
    headers: list[tuple[str, str]] = []
    body = b""
    if plan.write is not None:
        headers.append(_XML_TYPE)
        body = _document(plan, output)
    elif plan.payload is not None:
        headers.append(("Content-Type", "application/json"))
        body = str(output.get(plan.payload) or "").encode()
    for name, value in output.items():
        header = plan.headers.get(name)
        if header is not None and value is not None:
            headers.append((header.name, header.text(value)))
    if plan.metadata is not None:
        headers.extend(_metadata_headers(plan.metadata, output.get(plan.metadata.name) or {}))
    status = _PARTIAL_CONTENT if output.get("ContentRange") else plan.status
    return RenderedResponse(status=status, headers=headers, body=body)


def render_error(error: S3Error, resource: str, request_id: str, host_id: str) -> RenderedResponse:
    """AWS's <Error> document; no body with 304. The endpoint drops the body of an answer to HEAD."""
    headers = list(error.headers.items())
    if error.status == 304:
        return RenderedResponse(status=error.status, headers=headers, body=b"")
    elements = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in error.elements.items())
    body = (
        f"{_XML_DECLARATION}<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message>"
        f"{elements}<Resource>{escape(resource)}</Resource><RequestId>{escape(request_id)}</RequestId>"
        f"<HostId>{escape(host_id)}</HostId></Error>"
    )
    return RenderedResponse(status=error.status, headers=[_XML_TYPE, *headers], body=_encode(body))


def url_encode_key(text: str) -> str:
    """A key, prefix, delimiter or marker as AWS sends it under encoding-type=url.

    That is Java's URLEncoder with the slash kept: letters, digits and `.-*_/` stand for themselves, space is '+'.
    """
    return quote_plus(text, safe="/*", errors="replace").replace("~", "%7E")


def _document(plan: _Plan, output: dict[str, Any]) -> bytes:
    content = output if plan.payload is None else output.get(plan.payload)
    out = [f'{_XML_DECLARATION}<{plan.root} xmlns="{XML_NAMESPACE}">']
    if content and plan.write is not None:
        plan.write(out, content)
    out.append(f"</{plan.root}>")
    return _encode("".join(out))


def _encode(document: str) -> bytes:
    # A lone surrogate is no UTF-8; as a reference it does no more harm than a control character.
    return document.encode("utf-8", "xmlcharrefreplace")


def _metadata_headers(member: Member, metadata: Mapping[str, str]) -> list[tuple[str, str]]:
    return [
        (f"{member.wire_name}{name}", _header_string(value))
        for name, value in metadata.items()
        if _HEADER_NAME.match(name)
    ]


def _header_string(text: str) -> str:
    """A header value that HTTP can carry: controls are blanked (no response splitting), wide text is RFC 2047."""
    if text.isascii() and text.isprintable():
        return text
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return f"=?UTF-8?B?{b64encode(text.encode('utf-8', 'replace')).decode()}?="
    return _UNSAFE_IN_HEADER.sub(" ", text)


def _header_text(shape: Shape) -> Callable[[Any], str]:
    if shape.kind is Kind.BOOLEAN:
        return lambda value: "true" if value else "false"
    if shape.kind in (Kind.INTEGER, Kind.LONG):
        return str
    if shape.kind is Kind.TIMESTAMP:
        return iso_milliseconds if shape.timestamp_format == "iso8601" else http_date
    return _header_string


def _write_location(out: list[str], output: Any) -> None:
    # The one document whose root holds text: empty for us-east-1.
    out.append(escape(output.get("LocationConstraint") or ""))


@cache
def _plan(operation: Operation) -> _Plan:
    members = operation.output.members
    payload = operation.output.payload
    structured = payload is not None and payload.shape.kind is Kind.STRUCTURE and not payload.streaming
    root: str | None = None
    write: Write | None = None
    if structured and payload is not None:
        root, write = payload.wire_name, content_writer(payload.shape)
    elif payload is None and any(member.location is Location.BODY for member in members):
        root = _ROOTS.get(operation.name, operation.output.name)
        write = _write_location if root == "LocationConstraint" else content_writer(operation.output)
    return _Plan(
        headers={
            member.name: _Header(member.wire_name, _header_text(member.shape))
            for member in members
            if member.location is Location.HEADER
        },
        metadata=next((member for member in members if member.location is Location.HEADERS), None),
        root=root,
        payload=None if payload is None or payload.streaming else payload.name,
        write=write,
        status=_STATUSES.get(operation.name, operation.success_status),
    )
