"""The application as one readable list: which address goes to which part.

S3 stands outside Starlette's Router, which decodes paths and redirects; SigV4 signs the raw path and keys hold `//`,
`%2F` and a trailing `/`. Everything else lives at addresses that can never be a bucket, or is one of the two routes of
the original system.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import health, legacy
from gateway.endpoint import Endpoint
from gateway.settings import GatewaySettings
from gateway.website_endpoint import WebsiteEndpoint
from s3compat.request import virtual_host_bucket

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def create_app(settings: GatewaySettings, lifespan: Lifespan) -> ASGIApp:
    """The whole application; ``lifespan`` puts the services into ``app.state.services``."""
    routes = [
        Mount("/-/health", routes=health.ROUTES),
        *legacy.ROUTES,
    ]
    return Dispatcher(Starlette(routes=routes, lifespan=lifespan), settings.domains, settings.website_domains)


class Dispatcher:
    """Sends a request to S3, to a website or to the Starlette application, by its raw path and host alone."""

    def __init__(self, application: Starlette, domains: tuple[str, ...], website_domains: tuple[str, ...] = ()) -> None:
        self._application = application
        self._domains = domains
        self._website_domains = website_domains
        self._endpoint: Endpoint | None = None
        self._websites: WebsiteEndpoint | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        is_page = scope["type"] == "http" and self._is_of_website(scope)
        if not is_page and (scope["type"] != "http" or self._is_ours(scope)):
            await self._application(scope, receive, send)
            return
        if self._endpoint is None or self._websites is None:
            services = self._application.state.services
            self._endpoint = Endpoint(services)
            self._websites = WebsiteEndpoint(services, self._endpoint, self._website_domains)
        await (self._websites if is_page else self._endpoint)(scope, receive, send)

    def _is_of_website(self, scope: Scope) -> bool:
        return bool(self._website_domains) and virtual_host_bucket(_host(scope), self._website_domains) is not None

    def _is_ours(self, scope: Scope) -> bool:
        path: bytes = scope["raw_path"]
        if not path.startswith((b"/-/", b"/upload", b"/blob/")):
            return False
        if path.startswith(b"/upload") and (path != b"/upload" or scope["method"] != "POST"):
            return False
        if not self._domains:
            return True
        return virtual_host_bucket(_host(scope), self._domains) is None


def _host(scope: Scope) -> str:
    host: bytes = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return host.decode("latin-1")
