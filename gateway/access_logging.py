"""From an answered request to its line in the server access log of its bucket."""

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from gateway.log_delivery import LOGGING
from s3compat.access_log import LoggedRequest
from s3compat.request import S3Request

if TYPE_CHECKING:
    from gateway.access_log import AccessLog
    from gateway.endpoint import Exchange


def log_request(
    gathered: "AccessLog | None",
    exchange: "Exchange",
    request: S3Request | None,
    operation: str,
    *,
    started: float,
    region: str,
) -> None:
    """Note a request if its bucket's requests are logged. `started` is of time.perf_counter, `operation` as in logs.

    A request that was refused before its bucket was looked at is not logged.
    """
    bucket = exchange.access.bucket if exchange.access is not None else exchange.bucket
    if gathered is None or bucket is None or request is None or LOGGING not in bucket.configs:
        return
    total_s = time.perf_counter() - started
    version, authentication = _signature(request)
    identity = exchange.access.identity if exchange.access is not None else None
    answered = exchange.answered
    query = f"?{request.raw_query.decode('latin-1')}" if request.raw_query else ""
    gathered.note(
        bucket,
        LoggedRequest(
            bucket_owner_id=bucket.owner_id,
            bucket=bucket.name,
            at=datetime.now(UTC) - timedelta(seconds=total_s),
            remote_address=exchange.client_address or "",
            requester_id="" if identity is None or identity.is_anonymous else identity.canonical_id,
            request_id=exchange.request_id,
            operation=operation,
            key=request.key or "",
            request_line=f"{request.method} {exchange.resource}{query} HTTP/1.1",
            status=exchange.status,
            error_code=exchange.error_code,
            sent_bytes=exchange.sent_bytes,
            object_bytes=_object_bytes(request, exchange),
            total_ms=round(total_s * 1000),
            turnaround_ms=None if answered is None else round((answered - started) * 1000),
            referer=request.headers.get("referer") or "",
            user_agent=request.headers.get("user-agent") or "",
            version_id=request.query.get("versionId") or "",
            host_id=exchange.host_id,
            signature_version=version,
            authentication_type=authentication,
            host=request.headers.get("host") or "",
            region=region,
        ),
    )


def _object_bytes(request: S3Request, exchange: "Exchange") -> int | None:
    """The size of the object that was read or written, where the request's or the answer's headers tell it."""
    if request.key is None or exchange.status >= 300:
        return None
    text = request.headers.get("content-length") if request.method == "PUT" else None
    if request.method in ("GET", "HEAD") and "etag" in exchange.answer_headers:
        total = exchange.answer_headers.get("content-range", "").rpartition("/")[2]
        text = total or exchange.answer_headers.get("content-length")
    return int(text) if text is not None and text.isdigit() and len(text) < len(str(1 << 64)) else None


def _signature(request: S3Request) -> tuple[str, str]:
    """The version of the signature and where it stood; empty for an anonymous request."""
    header = request.headers.get("authorization")
    if header is not None:
        return ("SigV4" if header.startswith("AWS4") else "SigV2"), "AuthHeader"
    if "X-Amz-Signature" in request.query:
        return "SigV4", "QueryString"
    if "Signature" in request.query and "AWSAccessKeyId" in request.query:
        return "SigV2", "QueryString"
    return "", ""
