"""What an administrator may declare as a target, and the sender that a declared one needs."""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from gateway.encryption.wrapping import WrongKey, unwrap_key, wrap_key
from gateway.events.senders import Sender, StreamSender, WebhookSender
from gateway.index.connection import Connection, connect
from gateway.index.event_targets import EventTarget
from s3compat.notification import STREAM, TARGET_NAME, WEBHOOK

_PURPOSE = b"event target"
_OUR_KEYS = "cairn:"
_SERVER = re.compile(r"(unix:/.+|[A-Za-z0-9._-]+:[0-9]{1,5})")
_REDIS_PORT = 6379


class TargetError(Exception):
    """A target cannot be as it was declared; the message is for an administrator."""


def webhook_target(
    name: str, url: str, secret: str, *, master_key: bytes, random_bytes: Callable[[int], bytes], now_ms: int
) -> EventTarget:
    """A URL to post to. Raises TargetError."""
    _check_name(name)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TargetError(f"{url!r} is no http:// or https:// URL")
    if parts.username is not None:
        raise TargetError("a URL with a password in it would be shown to whoever lists the targets: use --secret")
    sealed = _seal(name, secret, master_key, random_bytes)
    return EventTarget(name=name, kind=WEBHOOK, place=url, sealed_secret=sealed, created_ms=now_ms)


def stream_target(
    name: str, key: str, redis_url: str, *, master_key: bytes, random_bytes: Callable[[int], bytes], now_ms: int
) -> EventTarget:
    """A Redis stream; `redis_url` is empty for the index's own server. Raises TargetError."""
    _check_name(name)
    if not key or key.startswith(_OUR_KEYS):
        raise TargetError(f"the key of a stream is not empty and does not begin with {_OUR_KEYS}")
    server, password = _parse_redis_url(redis_url) if redis_url else ("", "")
    sealed = _seal(name, password, master_key, random_bytes)
    return EventTarget(name=name, kind=STREAM, place=key, server=server, sealed_secret=sealed, created_ms=now_ms)


def make_sender(
    target: EventTarget, *, master_key: bytes, index_server: Connection, clock: Callable[[], float]
) -> Sender:
    """The way to a target. Raises TargetError where its secret cannot be read, or its kind is of a newer release."""
    secret = _open(target, master_key)
    if target.kind == WEBHOOK:
        return WebhookSender(target.place, secret=secret, clock=clock)
    if target.kind != STREAM:
        raise TargetError(f"this release knows no targets of the kind {target.kind!r}")
    if not target.server:
        return StreamSender(index_server, target.place, owns_connection=False)
    host, _, port = target.server.rpartition(":")
    password = secret.decode()
    if host == "unix":
        server = connect(target.server, password=password)
    else:
        server = connect(host, int(port), password=password)
    return StreamSender(server, target.place, owns_connection=True)


def _check_name(name: str) -> None:
    if TARGET_NAME.fullmatch(name) is None:
        raise TargetError("the name of a target is 1 to 80 letters, digits, - and _")


def _parse_redis_url(url: str) -> tuple[str, str]:
    """Server and password of redis://[:PASSWORD@]HOST[:PORT] or unix:PATH."""
    if url.startswith("unix:"):
        server, password = url, ""
    else:
        parts = urlsplit(url)
        try:
            server = f"{parts.hostname or ''}:{parts.port or _REDIS_PORT}"
        except ValueError as error:
            raise TargetError(f"{url!r}: {error}") from error
        password = parts.password or ""
        if parts.scheme != "redis" or parts.path not in ("", "/", "/0") or parts.username:
            server = ""
    if _SERVER.fullmatch(server) is None:
        raise TargetError("expected redis://[:PASSWORD@]HOST[:PORT] or unix:/PATH")
    return server, password


def _seal(name: str, secret: str, master_key: bytes, random_bytes: Callable[[int], bytes]) -> bytes:
    if not secret:
        return b""
    return wrap_key(master_key, secret.encode(), purpose=_PURPOSE, bound=name.encode(), random_bytes=random_bytes)


def _open(target: EventTarget, master_key: bytes) -> bytes:
    if not target.sealed_secret:
        return b""
    try:
        return unwrap_key(master_key, target.sealed_secret, purpose=_PURPOSE, bound=target.name.encode())
    except WrongKey as error:
        raise TargetError(f"the master key does not open the secret of target {target.name}") from error
