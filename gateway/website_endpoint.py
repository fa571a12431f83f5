"""Serves the pages of websites, on host names of their own: `bucket.DOMAIN` for a domain of CAIRN_WEBSITE_DOMAIN.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/WebsiteEndpoints.html

Everybody may ask and nobody signs: a page is read as an anonymous GetObject, decided as any other. What S3 answers in
XML is a page here; what the pages are is for s3compat/website.py to say.
"""

import time
from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from gateway import cross_origin
from gateway.access_logging import log_request
from gateway.context import Answer, Services
from gateway.datapath.errors import DataPathError
from gateway.endpoint import Endpoint, Exchange, Send
from gateway.index.errors import IndexFailure
from gateway.operations.website import WEBSITE
from gateway.receiver import ClientGone, Receive
from gateway.translation import to_s3_error
from s3compat.errors import S3Error
from s3compat.request import NO_PARAMS, Headers, S3Request
from s3compat.serialization import RenderedResponse, render
from s3compat.service_model import Operation, load
from s3compat.website import (
    OBJECT_REDIRECT_STATUS,
    SLASH_REDIRECT_STATUS,
    Redirect,
    Website,
    decode_document,
    error_page,
    location,
    parse_website,
    quoted_key,
)

_REDIRECT_HEADER = "x-amz-website-redirect-location"
_OPERATIONS = {"GET": "GetObject", "HEAD": "HeadObject"}
#: Of a request for a page nothing else reaches GetObject, signatures least of all.
_KEPT_HEADERS = frozenset(
    {
        *("host", "range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"),
        *("referer", "user-agent", "origin"),
    }
)
#: No errors but answers to conditions and ranges: no page stands in for them.
_PLAIN_STATUSES = frozenset({304, 412, 416})

log = structlog.get_logger("cairn.website")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """An answer that is ready to be sent."""

    rendered: RenderedResponse
    answer: Answer


class WebsiteEndpoint:
    """Answers every request of one process that came to a website's host."""

    def __init__(self, services: Services, endpoint: Endpoint, domains: tuple[str, ...]) -> None:
        self._services = services
        self._endpoint = endpoint
        self._domains = domains

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one HTTP request (ASGI)."""
        started = time.perf_counter()
        headers = Headers.from_raw(scope["headers"])
        exchange = Exchange(scope, headers, receive, send, self._services.settings.request_body_idle_timeout_s)
        request: S3Request | None = None
        try:
            try:
                request = self._request(scope, headers)
                page = await self._page(request, exchange)
                cors = await self._cors_headers(request, exchange)
                await exchange.respond(page.rendered, page.answer.body, (*page.answer.headers, *cors))
            except (IndexFailure, DataPathError, S3Error) as failure:
                await self._refuse(failure, exchange)
        except ClientGone:
            exchange.status = 499
        except Exception as failure:  # the boundary: whatever happened becomes a page
            log.error("internal error", request_id=exchange.request_id, exc_info=failure)
            await self._refuse(S3Error("InternalError"), exchange)
        finally:
            named, region = f"WEBSITE.{scope['method']}.OBJECT", self._services.settings.region
            log_request(self._services.access_log, exchange, request, named, started=started, region=region)
            took_ms = round((time.perf_counter() - started) * 1000, 2)
            log.debug(
                "page", request_id=exchange.request_id, path=exchange.resource, status=exchange.status, ms=took_ms
            )

    def _request(self, scope: MutableMapping[str, Any], headers: Headers) -> S3Request:
        kept = Headers.from_raw([(name, value) for name, value in scope["headers"] if name.decode() in _KEPT_HEADERS])
        secure = scope["scheme"] == "https"
        return S3Request.build(scope["method"], scope["raw_path"], scope["query_string"], kept, secure, self._domains)

    async def _page(self, request: S3Request, exchange: Exchange) -> _Page:
        """The page, a redirect, or the error document. Raises S3Error where there is no more than that to tell."""
        if request.method not in _OPERATIONS:
            raise S3Error(
                "MethodNotAllowed", headers={"allow": "GET, HEAD"}, Method=request.method[:20], ResourceType="OBJECT"
            )
        website = await self._website(request)
        key = request.key or ""
        if website.redirect_all is not None:
            return _redirected(request, website.redirect_all, key, with_query=True)
        if (rule := website.rule_for(key)) is not None:
            return _redirected(request, rule.redirect, key, rule.prefix)
        try:
            return await self._read(request, website.page_key(key), exchange)
        except S3Error as error:
            if error.status in _PLAIN_STATUSES:
                return _bare(error.status, list(error.headers.items()))
            return await self._instead(request, website, error, exchange)

    async def _instead(self, request: S3Request, website: Website, error: S3Error, exchange: Exchange) -> _Page:
        """What is sent where the page cannot be: its directory's address, a redirect, the error document."""
        key = request.key or ""
        directory = website.directory_key(key)
        if directory is not None and error.status in (403, 404) and await self._is_there(request, directory, exchange):
            headers = [("Location", f"/{quoted_key(key)}/"), ("Content-Length", "0")]
            return _bare(SLASH_REDIRECT_STATUS, headers)
        if (rule := website.rule_for(key, error.status)) is not None:
            return _redirected(request, rule.redirect, key, rule.prefix)
        if website.error_key is None or not 400 <= error.status < 500:
            raise error
        whole = replace(request, headers=_without_conditions(request.headers))
        try:
            page = await self._read(whole, website.error_key, exchange)
        except S3Error as unreadable:
            return _error(error, exchange, unreadable)
        return replace(page, rendered=replace(page.rendered, status=error.status))

    async def _is_there(self, request: S3Request, key: str, exchange: Exchange) -> bool:
        head = replace(request, method="HEAD", headers=_without_conditions(request.headers))
        try:
            await self._read(head, key, exchange)
        except S3Error:
            return False
        return True

    async def _read(self, request: S3Request, key: str, exchange: Exchange) -> _Page:
        """An object, as everybody may read it. Raises S3Error, IndexFailure, DataPathError."""
        operation: Operation = load().operations[_OPERATIONS[request.method]]
        wanted = replace(request, key=key, query=NO_PARAMS, raw_query=b"")
        try:
            answer = await self._endpoint.read_anonymously(operation, wanted, exchange)
        except (IndexFailure, DataPathError) as failure:
            raise to_s3_error(failure) from failure
        kept = dict(answer.headers)
        if (elsewhere := kept.get(_REDIRECT_HEADER)) is not None:
            headers = [("Location", elsewhere), ("Content-Length", "0")]
            return _bare(OBJECT_REDIRECT_STATUS, headers)
        return _Page(rendered=render(operation, answer.output), answer=answer)

    async def _website(self, request: S3Request) -> Website:
        """Raises NoSuchBucket, NoSuchWebsiteConfiguration."""
        name = request.bucket or ""
        try:
            stored = await self._services.index.get_bucket_config(name, WEBSITE)
        except IndexFailure as failure:
            raise to_s3_error(failure) from failure
        if stored is None:
            raise S3Error("NoSuchWebsiteConfiguration", BucketName=name)
        return parse_website(decode_document(stored))

    async def _cors_headers(self, request: S3Request, exchange: Exchange) -> tuple[tuple[str, str], ...]:
        if "origin" not in request.headers:
            return ()
        return tuple(await cross_origin.response_headers(self._services.index, request, exchange.bucket))

    async def _refuse(self, failure: IndexFailure | DataPathError | S3Error, exchange: Exchange) -> None:
        if exchange.response_started:
            # Too late for an error: returning without the promised bytes makes the server close the connection.
            log.warning("page broken", request_id=exchange.request_id, error=repr(failure))
            return
        error = failure if isinstance(failure, S3Error) else to_s3_error(failure)
        exchange.error_code = error.code
        await exchange.respond(_error(error, exchange).rendered)


def _bare(status: int, headers: list[tuple[str, str]], body: bytes = b"") -> _Page:
    return _Page(rendered=RenderedResponse(status=status, headers=headers, body=body), answer=Answer())


def _error(error: S3Error, exchange: Exchange, unreadable: S3Error | None = None) -> _Page:
    page = error_page(error, request_id=exchange.request_id, host_id=exchange.host_id, unreadable=unreadable)
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("x-amz-error-code", error.code),
        ("x-amz-error-message", error.message.encode("ascii", "replace").decode()),
        *[(name, value) for name, value in error.headers.items() if name.lower() != "content-type"],
    ]
    return _bare(error.status, headers, page)


def _redirected(
    request: S3Request, redirect: Redirect, key: str, prefix: str = "", *, with_query: bool = False
) -> _Page:
    host = request.headers.get("host") or ""
    target = location(redirect, secure=request.secure, host=host, key=key, prefix=prefix)
    if with_query and request.raw_query:
        target += "?" + request.raw_query.decode("latin-1")
    headers = [("Location", target), ("Content-Length", "0")]
    return _bare(redirect.status, headers)


def _without_conditions(headers: Headers) -> Headers:
    """Of another object than the one that the request's conditions and range are about."""
    kept = ("host", "referer", "user-agent", "origin")
    return Headers.from_raw(
        [(name.encode(), value.encode("latin-1")) for name in kept if (value := headers.get(name)) is not None]
    )
