"""The two routes of the original system: ``POST /upload`` (multipart form, field ``file``) and ``/blob/{name}``.

They are another door to one ordinary bucket (CAIRN_LEGACY_BUCKET): the handlers of S3 do the work, so conditions,
ranges and durability are the same. Errors are JSON, as the original's were.
"""

import asyncio
import base64
import binascii
import contextlib
import hmac
import re
import secrets
from collections.abc import AsyncIterator, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway.authorization import AccessCheck, authorize
from gateway.bucket_access import OWNERSHIP, Ownership
from gateway.condition_values import Sender
from gateway.context import Answer, Context, Input, Services
from gateway.credentials import Identity, root_credential
from gateway.datapath.errors import DataPathError
from gateway.index.cause import Cause, set_cause
from gateway.index.errors import BucketExists, IndexFailure, NoSuchBucket
from gateway.index.records import ObjectRecord, Origin, WriteCheck
from gateway.operations.deleting import delete_object
from gateway.operations.encrypting import key_of_write, requested_encryption
from gateway.operations.grants import access_of_write
from gateway.operations.reading import get_object, head_object
from gateway.operations.stored_headers import DEFAULT_CONTENT_TYPE
from gateway.operations.writing import (
    DEFAULT_CHECKSUM,
    SINGLE_WRITE_LIMIT_BYTES,
    commit_object,
    store_blocks,
)
from gateway.payload import EMPTY_PAYLOAD
from gateway.receiver import BLOCK_BYTES, Receive
from gateway.translation import to_s3_error
from s3compat.errors import S3Error
from s3compat.request import NO_PARAMS, Headers, S3Request
from s3compat.serialization import render
from s3compat.service_model import load

#: Longest name that a form may give, in characters; what is over is cut from the front, which keeps the extension.
NAME_LIMIT = 255
_UNSAFE = re.compile(r'[\x00-\x1f\x7f"\\/:*?<>|]')
_FORM_FIELDS_LIMIT = 20
#: What a form may be longer than the file in it.
_FORM_OVERHEAD_BYTES = 1024 * 1024


def safe_name(name: str | None) -> str:
    """The last component of a client's file name, without characters that a shell or file system minds.

    Raises InvalidArgument when nothing is left.
    """
    last = re.split(r"[/\\]", name or "")[-1]
    cleaned = _UNSAFE.sub("_", last).strip(" .")[-NAME_LIMIT:]
    if not cleaned:
        raise S3Error("InvalidArgument", "The form's file needs a file name.")
    return cleaned


async def upload(request: Request) -> Response:
    """POST /upload: store the form's file; 201 with name, size, etag and url."""
    try:
        length = request.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > SINGLE_WRITE_LIMIT_BYTES:
            raise S3Error("EntityTooLarge")
        identity = await _sender(request)
        await _ensure_bucket(request.app.state.services)
        idle_timeout_s = request.app.state.services.settings.request_body_idle_timeout_s
        bounded = Request(request.scope, bounded_receive(request.receive, idle_timeout_s))
        async with bounded.form(max_files=1, max_fields=_FORM_FIELDS_LIMIT) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise S3Error("InvalidArgument", "The form has no file in its field 'file'.")
            name = safe_name(file.filename)
            record = await _store(await _context(request, identity, name, "PutObject"), file)
    except ClientDisconnect:
        return Response(status_code=499)
    except (S3Error, IndexFailure, DataPathError) as failure:
        return _refusal(failure)
    url = f"/blob/{quote(name)}"
    body = {"name": name, "size": record.size_bytes, "etag": record.etag, "url": url}
    return JSONResponse(body, status_code=201, headers={"Location": url})


def bounded_receive(receive: Receive, idle_timeout_s: float) -> Receive:
    """The bounds of S3's bodies for a form, which may come without a length and is spooled before it is stored.

    The result raises RequestTimeout, EntityTooLarge.
    """
    left_bytes = SINGLE_WRITE_LIMIT_BYTES + _FORM_OVERHEAD_BYTES

    async def receive_within_bounds() -> MutableMapping[str, Any]:
        nonlocal left_bytes
        try:
            async with asyncio.timeout(idle_timeout_s):
                message = await receive()
        except TimeoutError as late:
            raise S3Error("RequestTimeout") from late
        left_bytes -= len(message.get("body", b""))
        if left_bytes < 0:
            raise S3Error("EntityTooLarge")
        return message

    return receive_within_bounds


def refuse_other_sites(headers: Mapping[str, str]) -> None:
    """Raise AccessDenied for a form of another site: browsers send it without asking, and add only its Origin.

    Where no credentials are needed, every page that a user of this machine looks at could write here otherwise.
    """
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != headers.get("host"):
        raise S3Error("AccessDenied")


async def _store(context: Context, file: UploadFile) -> ObjectRecord:
    async def blocks() -> AsyncIterator[bytes]:
        while block := await file.read(BLOCK_BYTES):
            yield block

    content_type = file.content_type or DEFAULT_CONTENT_TYPE
    origin = Origin(bucket=context.target_bucket.name, key=context.key)
    key = await key_of_write(context, requested_encryption(context))
    stored = await store_blocks(context, origin, file.size or 0, blocks(), DEFAULT_CHECKSUM, key)
    record = ObjectRecord(
        etag=stored.etag,
        size_bytes=stored.size_bytes,
        modified_ms=context.now_ms,
        owner_id=(await access_of_write(context)).owner_id,
        headers=(("content-type", content_type.encode().decode("latin-1")),),
        checksum=stored.checksum,
        extents=stored.extents,
        encryption=key.encryption if key else None,
    )
    await commit_object(context, record, WriteCheck(bucket_id=context.target_bucket.bucket_id))
    return record


async def blob(request: Request) -> Response:
    """GET, HEAD and DELETE /blob/{name}."""
    name: str = request.path_params["name"]
    try:
        identity = await _sender(request)
        operation = {"DELETE": "DeleteObject", "HEAD": "HeadObject"}.get(request.method, "GetObject")
        try:
            context = await _context(request, identity, name, operation)
        except NoSuchBucket as missing:
            raise S3Error("NoSuchKey", Key=name) from missing
        bucket = context.target_bucket
        params: Input = {"Bucket": bucket.name, "Key": name}
        if (wanted := request.headers.get("range")) is not None:
            params["Range"] = wanted
        if request.method == "DELETE":
            await head_object(context, {"Bucket": bucket.name, "Key": name})
            await delete_object(context, params)
            return Response(status_code=204)
        if request.method == "HEAD":
            return await _reply("HeadObject", name, await head_object(context, params))
        return await _reply("GetObject", name, await get_object(context, params))
    except (S3Error, IndexFailure, DataPathError) as failure:
        return _refusal(failure)


async def _reply(operation: str, name: str, answer: Answer) -> Response:
    rendered = render(load().operations[operation], answer.output)
    headers = dict((*rendered.headers, *answer.headers))
    headers.setdefault("content-disposition", content_disposition(name))
    body = answer.body
    if body is None:
        return Response(status_code=rendered.status, headers=headers)
    first = await anext(body, b"")

    async def blocks() -> AsyncIterator[bytes]:
        yield first
        async for block in body:
            yield block

    return StreamingResponse(blocks(), status_code=rendered.status, headers=headers)


def content_disposition(name: str) -> str:
    """An attachment of this name, in ASCII and in UTF-8 (RFC 6266)."""
    plain = "".join(character if 32 <= ord(character) < 127 else "_" for character in name)
    plain = plain.replace("\\", "_").replace('"', "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


async def _sender(request: Request) -> Identity:
    """Who uses the old routes: anybody where that is switched on, else an access key by HTTP Basic (RFC 7617)."""
    services: Services = request.app.state.services
    header = request.headers.get("authorization")
    if header is None and services.settings.legacy_anonymous:
        refuse_other_sites(request.headers)
        return _root(services)
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "basic":
        raise S3Error("AccessDenied", headers={"WWW-Authenticate": 'Basic realm="cairn", charset="UTF-8"'})
    try:
        access_key, _, secret_key = base64.b64decode(token, validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as malformed:
        raise S3Error("InvalidArgument", "The Authorization header is malformed.") from malformed
    credential = await services.credentials.lookup(access_key)
    if credential is None or not hmac.compare_digest(credential.secret_key.encode(), secret_key.encode()):
        raise S3Error("AccessDenied", headers={"WWW-Authenticate": 'Basic realm="cairn", charset="UTF-8"'})
    return credential.identity


def _root(services: Services) -> Identity:
    root = root_credential(services.settings)
    if root is None:
        raise S3Error("AccessDenied")
    return root.identity


async def _ensure_bucket(services: Services) -> None:
    """The bucket behind the old routes, which the first upload makes; it belongs to the root user."""
    name = services.settings.legacy_bucket
    try:
        await services.index.get_bucket(name)
    except NoSuchBucket:
        root = _root(services)
        # When another upload was first, the bucket is there all the same.
        with contextlib.suppress(BucketExists):
            await services.index.create_bucket(
                name,
                root.canonical_id,
                services.settings.region,
                now_ms=int(datetime.now(UTC).timestamp() * 1000),
                limit=services.settings.bucket_limit,
                configs={OWNERSHIP: Ownership.BUCKET_OWNER_ENFORCED.value.encode()},
            )


async def _context(request: Request, identity: Identity, name: str, operation: str) -> Context:
    """The request as the operation of S3 that it comes to; raises AccessDenied, NoSuchBucket."""
    services: Services = request.app.state.services
    raw_path: bytes = request.scope["raw_path"]
    asker = Sender(
        identity=identity,
        request=S3Request(
            method=request.method,
            raw_path=raw_path,
            raw_query=b"",
            headers=Headers.from_raw(request.scope["headers"]),
            secure=request.url.scheme == "https",
            bucket=services.settings.legacy_bucket,
            key=name,
            query=NO_PARAMS,
        ),
        now=datetime.now(UTC),
        region=services.settings.region,
        client_address=request.client.host if request.client else None,
        claim=None,
    )
    access = AccessCheck(asker)
    bucket, found = await authorize(services.index, access, operation)
    request_id = secrets.token_hex(8).upper()
    set_cause(
        Cause(
            operation=operation,
            requester_id=identity.canonical_id,
            address=asker.client_address or "",
            request_id=request_id,
        )
    )
    return Context(
        request=asker.request,
        request_id=request_id,
        now=asker.now,
        identity=identity,
        payload=EMPTY_PAYLOAD,
        services=services,
        bucket=bucket,
        access=access,
        found=found,
    )


def _refusal(failure: S3Error | IndexFailure | DataPathError) -> Response:
    error = failure if isinstance(failure, S3Error) else to_s3_error(failure)
    status = 401 if "WWW-Authenticate" in error.headers else error.status
    if status == 304:
        return Response(status_code=304, headers=dict(error.headers))
    body = {"error": error.code, "message": error.message}
    return JSONResponse(body, status_code=status, headers=dict(error.headers))


ROUTES = [
    Route("/upload", upload, methods=["POST"]),
    Route("/blob/{name:path}", blob, methods=["GET", "HEAD", "DELETE"]),
]
