"""The one request pipeline of S3: parse, authenticate, authorize, call, render; a plain ASGI callable.

Everything that holds for all operations stands here once: request ids, the access log, errors, what happens to a body
that nobody read, and to an answer that breaks midway. No operation is known here by name.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog

from gateway import cross_origin
from gateway.access_logging import log_request
from gateway.authentication import Authenticated, authenticate, authenticate_form
from gateway.authorization import AccessCheck, authorize
from gateway.condition_values import Sender
from gateway.context import Answer, Context, Input, Services
from gateway.credentials import ANONYMOUS
from gateway.datapath.errors import DataPathError
from gateway.explaining import Refusal
from gateway.explanations import Incident
from gateway.form_upload import FormUpload
from gateway.index.cause import Cause, set_cause
from gateway.index.errors import IndexFailure
from gateway.index.records import BucketRecord
from gateway.operations import HANDLERS
from gateway.operations.stated import STATING, stated_tags, stated_values
from gateway.payload import EMPTY_PAYLOAD, Payload, build_payload
from gateway.receiver import ClientGone, Receive, Receiver
from gateway.translation import to_s3_error
from s3compat import names
from s3compat.access_log import log_operation
from s3compat.cors import HeaderList
from s3compat.errors import S3Error
from s3compat.parsing import needs_xml_body, parse_input, xml_body_limit_bytes
from s3compat.post_form import Stored, put_request, render_stored
from s3compat.post_policy import check_form
from s3compat.request import Headers, S3Request
from s3compat.routing import CORS_PREFLIGHT, POST_OBJECT, find_operation
from s3compat.serialization import RenderedResponse, render, render_error
from s3compat.service_model import Operation, load

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = structlog.get_logger("cairn.gateway")

#: A client that takes no byte of its answer for this long is given up.
SEND_IDLE_TIMEOUT_S = 300.0


class Endpoint:
    """Answers every S3 request of one process."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request (ASGI)."""
        started = time.perf_counter()
        headers = Headers.from_raw(scope["headers"])
        exchange = Exchange(scope, headers, receive, send, self._services.settings.request_body_idle_timeout_s)
        request, operation = None, None
        try:
            request = S3Request.build(
                scope["method"],
                scope["raw_path"],
                scope["query_string"],
                headers,
                scope["scheme"] == "https",
                self._services.settings.domains,
            )
            operation = find_operation(request)
            answer = await self._perform(operation, request, exchange)
            rendered = answer.rendered or render(operation, answer.output)
            cors = await self._cors_headers(request, exchange)
            await exchange.respond(rendered, answer.body, (*answer.headers, *cors))
            self._explain(S3Error("AccessDenied"), operation, request, exchange)
        except ClientGone:
            exchange.status = 499
        except Exception as failure:  # noqa: BLE001 - the boundary: whatever happened becomes S3's own error
            await self._refuse(request, exchange, failure)
            self._explain(failure, operation, request, exchange)
        finally:
            named = log_operation(operation.name if operation else "", scope["method"])
            region = self._services.settings.region
            log_request(self._services.access_log, exchange, request, named, started=started, region=region)
            log.debug(
                "request",
                request_id=exchange.request_id,
                operation=operation.name if operation else None,
                path=exchange.resource,
                status=exchange.status,
                ms=round((time.perf_counter() - started) * 1000, 2),
            )

    async def _perform(self, operation: Operation, request: S3Request, exchange: "Exchange") -> Answer:
        if operation is CORS_PREFLIGHT:
            return Answer(rendered=await cross_origin.answer_preflight(self._services.index, request))
        now = datetime.now(UTC)
        settings = self._services.settings
        sender = await authenticate(
            request, self._services.credentials, now, region=settings.region, version_2=settings.sigv2
        )
        if operation is POST_OBJECT:
            return await self._store_form(request, sender, exchange, now)
        handler = HANDLERS.get(operation.name)
        if handler is None:
            raise S3Error("NotImplemented", f"{operation.name} is not implemented.")
        if request.bucket is not None:
            names.check_bucket_name(request.bucket)
        payload = build_payload(
            request,
            exchange.receiver,
            sender.claim,
            sender.signing,
            checksummed=operation.checksum.request_algorithm_member is not None,
        )
        # Policies may ask for what is set, and only the body tells it.
        params = await _parse(operation, request, payload) if operation.name in STATING else None
        context = await self._admit(operation, request, sender, exchange, now, payload, params)
        return await handler(context, params or await _parse(operation, request, payload))

    async def _admit(
        self,
        operation: Operation,
        request: S3Request,
        sender: Authenticated,
        exchange: "Exchange",
        now: datetime,
        payload: Payload,
        params: Input | None = None,
    ) -> Context:
        """Ask whether the sender may do this; what was read to decide it goes on to the handler."""
        asker = Sender(
            identity=sender.identity or ANONYMOUS,
            request=request,
            now=now,
            region=self._services.settings.region,
            client_address=exchange.client_address,
            claim=sender.claim,
        )
        access = exchange.access = AccessCheck(
            asker,
            tags=None if params is None else stated_tags(operation.name, params),
            stated=None if params is None else stated_values(operation.name, params),
        )
        exchange.blame(operation.name, asker.identity.canonical_id)
        exchange.bucket, found = await authorize(self._services.index, access, operation.name)
        return Context(
            request=request,
            request_id=exchange.request_id,
            now=now,
            identity=asker.identity,
            payload=payload,
            services=self._services,
            bucket=exchange.bucket,
            access=access,
            found=found,
        )

    async def read_anonymously(self, operation: Operation, request: S3Request, exchange: "Exchange") -> Answer:
        """GetObject or HeadObject for whoever it may be: what a website serves. Raises S3Error, IndexFailure."""
        nobody = Authenticated(identity=None, claim=None, signing=None)
        context = await self._admit(operation, request, nobody, exchange, datetime.now(UTC), EMPTY_PAYLOAD)
        return await HANDLERS[operation.name](context, await _parse(operation, request, EMPTY_PAYLOAD))

    async def _store_form(
        self, request: S3Request, sender: Authenticated, exchange: "Exchange", now: datetime
    ) -> Answer:
        """A browser's form upload: the PutObject that its fields describe, if its policy lets it."""
        if sender.identity is not None:
            raise S3Error("InvalidArgument", "Only one auth mechanism allowed: a form brings its own signature.")
        names.check_bucket_name(request.bucket or "")
        settings = self._services.settings
        form = await FormUpload.read(request, exchange.receiver)
        sender = await authenticate_form(
            form.fields, self._services.credentials, region=settings.region, version_2=settings.sigv2
        )
        sizes = check_form(form.fields, now)
        put_object = load().operations["PutObject"]
        put = put_request(request, form.fields)
        context = await self._admit(put_object, put, sender, exchange, now, EMPTY_PAYLOAD)
        exchange.blame(POST_OBJECT.name, context.identity.canonical_id)
        async with form.payload(put, sizes) as payload:
            params = await _parse(put_object, put, payload)
            answer = await HANDLERS[put_object.name](replace(context, payload=payload), params)
        headers = tuple(render(put_object, answer.output).headers)
        stored = Stored(bucket=put.bucket or "", key=put.key or "", etag=answer.output["ETag"], headers=headers)
        return Answer(rendered=render_stored(request, form.fields, stored))

    async def _cors_headers(self, request: S3Request | None, exchange: "Exchange") -> HeaderList:
        """What a browser needs to hear with any answer, errors too; preflights say it themselves."""
        if request is None or "origin" not in request.headers or request.method == "OPTIONS":
            return ()
        return await cross_origin.response_headers(self._services.index, request, exchange.bucket)

    async def _refuse(self, request: S3Request | None, exchange: "Exchange", failure: Exception) -> None:
        error = _as_s3_error(failure, exchange.request_id)
        exchange.error_code = error.code
        if exchange.response_started:
            # Too late for an error: returning without the promised bytes makes the server close the connection.
            log.warning("answer broken", request_id=exchange.request_id, error=repr(failure))
            return
        rendered = render_error(error, exchange.resource, exchange.request_id, exchange.host_id)
        await exchange.respond(rendered, headers=await self._cors_headers(request, exchange))

    def _explain(
        self, failure: Exception, operation: Operation | None, request: S3Request | None, exchange: "Exchange"
    ) -> None:
        """Have an answer of 403 explained, or one that says so of single keys. Waits for nothing."""
        further = tuple(exchange.access.refusals) if exchange.access is not None else ()
        if self._services.explainer is None or (exchange.status != 403 and not further):
            return
        error = to_s3_error(failure) if isinstance(failure, IndexFailure | DataPathError) else failure
        if not isinstance(error, S3Error):
            return
        incident = Incident(
            request_id=exchange.request_id,
            time_ms=time.time_ns() // 1_000_000,
            method=exchange.method,
            path=exchange.resource,
            operation=operation.name if operation else "",
            sender=_sender_of(error, exchange.access),
            client_address=exchange.client_address or "",
            status=exchange.status,
        )
        self._services.explainer.note(
            Refusal(incident=incident, failure=failure, error=error, request=request, further=further)
        )


def _sender_of(error: S3Error, access: AccessCheck | None) -> str:
    """For an explanation: the user, or what an unproven request says of itself."""
    if access is None:
        access_key = error.elements.get("AWSAccessKeyId", "")
        return f"whoever used access key {access_key[:128]}" if access_key else "unknown"
    identity = access.identity
    return "anonymous" if identity.is_anonymous else f"{identity.name} ({identity.canonical_id})"


async def _parse(operation: Operation, request: S3Request, payload: Payload) -> Input:
    xml = await payload.read(xml_body_limit_bytes(operation)) if needs_xml_body(operation) else None
    return parse_input(operation, request, xml)


def _as_s3_error(failure: Exception, request_id: str) -> S3Error:
    if isinstance(failure, S3Error):
        return failure
    if isinstance(failure, IndexFailure | DataPathError):
        return to_s3_error(failure)
    log.error("internal error", request_id=request_id, exc_info=failure)
    return S3Error("InternalError")


class Exchange:
    """One request and its answer on the wire: the receiving side, the sending side, and what ties them together."""

    def __init__(self, scope: Scope, headers: Headers, receive: Receive, send: Send, idle_timeout_s: float) -> None:
        self._expects_continue = "expect" in headers
        # Whoever expects 100 Continue gets it for an empty body too, as from S3: after an answer that comes at once,
        # botocore takes the next answer on the connection for the rest of this one, and waits for its end for ever.
        has_body = headers.get("content-length") not in (None, "0") or "transfer-encoding" in headers
        has_body = has_body or self._expects_continue
        self.receiver = Receiver(receive, idle_timeout_s=idle_timeout_s, has_body=has_body)
        self.request_id = secrets.token_hex(8).upper()
        self.host_id = secrets.token_urlsafe(24)
        self.resource = scope["raw_path"].decode("latin-1")
        self.client_address: str | None = scope["client"][0] if scope.get("client") else None
        self.response_started = False
        self.status = 0
        self.bucket: BucketRecord | None = None
        self.method: str = scope["method"]
        self.access: AccessCheck | None = None
        self.error_code = ""
        self.sent_bytes = 0
        self.answered: float | None = None
        self.answer_headers: dict[str, str] = {}
        self._receive = receive
        self._send_on = send
        self._is_head = scope["method"] == "HEAD"

    def blame(self, operation: str, requester_id: str) -> None:
        """What this task changes from here on is due to this request."""
        set_cause(
            Cause(
                operation=operation,
                requester_id=requester_id,
                address=self.client_address or "",
                request_id=self.request_id,
                host_id=self.host_id,
            )
        )

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        self.sent_bytes += len(message.get("body", b""))
        await self._send_on(message)

    async def respond(
        self,
        response: RenderedResponse,
        body: AsyncIterator[bytes] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Send the answer; a body's first block is fetched before the status line, so that its failure is an error."""
        first = b""
        try:
            if body is not None:
                first = await anext(body, b"")
            close = await self._settle_request_body()
            await self._start(response, headers, close)
            if body is None or self._is_head:
                content = b"" if self._is_head else response.body
                await self._send({"type": "http.response.body", "body": content})
                return
            await self._send({"type": "http.response.body", "body": first, "more_body": True})
            await self._stream(body)
            await self._send({"type": "http.response.body", "body": b""})
        finally:
            if isinstance(body, AsyncGenerator):
                await body.aclose()

    async def _stream(self, body: AsyncIterator[bytes]) -> None:
        """Send the blocks of a body for as long as the client is there and reads.

        The server drops what is sent to a closed connection without a word, so the disconnect is listened for.
        """
        gone: asyncio.Task[None] | None = None
        try:
            async for block in body:
                if gone is None:
                    gone = asyncio.create_task(self._until_gone())
                elif gone.done():
                    raise ClientGone
                async with asyncio.timeout(SEND_IDLE_TIMEOUT_S):
                    await self._send({"type": "http.response.body", "body": block, "more_body": True})
        except TimeoutError as stalled:
            raise ClientGone from stalled
        finally:
            if gone is not None:
                gone.cancel()

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _settle_request_body(self) -> bool:
        """Read what is left of the request's body, within bounds; True when the connection must close instead.

        A client that waits for 100 Continue has sent nothing yet: its next request could not be told from the body.
        """
        if self.receiver.finished:
            return False
        if self._expects_continue and not self.receiver.started:
            return True
        try:
            return not await self.receiver.drain()
        except ClientGone:
            return True

    async def _start(self, response: RenderedResponse, extra: tuple[tuple[str, str], ...], close: bool) -> None:
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (*response.headers, *extra)
        ]
        headers.append((b"x-amz-request-id", self.request_id.encode()))
        headers.append((b"x-amz-id-2", self.host_id.encode()))
        headers.append((b"server", b"Cairn"))
        if close:
            headers.append((b"connection", b"close"))
        if not any(name == b"content-length" for name, _ in headers) and response.status not in (204, 304):
            headers.append((b"content-length", str(len(response.body)).encode()))
        self.status = response.status
        self.answered = time.perf_counter()
        self.answer_headers = {name.lower(): value for name, value in response.headers}
        self.response_started = True
        await self._send({"type": "http.response.start", "status": response.status, "headers": headers})
