"""Signature Version 4 written down once more, from AWS's pages alone, so that Cairn is not tested with itself.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
"""

import datetime
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
EMPTY_SHA256 = hashlib.sha256().hexdigest()

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Signs as one user for one region; `now` is fixed when it is given."""

    access_key: str
    secret_key: str
    region: str = "us-east-1"
    now: datetime.datetime | None = None

    def headers(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        payload_hash: str,
        *,
        leave_out: Iterable[str] = (),
    ) -> "Signed":
        """Every header to send for an encoded `path?query`; those of `leave_out` are not signed."""
        stamp = self._stamp()
        given = {**headers, "x-amz-date": stamp, "x-amz-content-sha256": payload_hash}
        names = sorted({name.lower() for name in given} - set(leave_out))
        path, _, query = target.partition("?")
        canonical = _canonical(method, path, query, given, names, payload_hash)
        signature = self._sign(stamp, canonical)
        authorization = (
            f"{_ALGORITHM} Credential={self.access_key}/{self._scope(stamp)}, "
            f"SignedHeaders={';'.join(names)}, Signature={signature}"
        )
        return Signed(
            headers={**given, "Authorization": authorization},
            signature=signature,
            stamp=stamp,
            scope=self._scope(stamp),
            key=self._key(stamp),
        )

    def presigned(
        self, method: str, path: str, host: str, *, expires_s: int = 60, extra: Mapping[str, str] | None = None
    ) -> str:
        """A `path?query` that carries its own signature; only Host is signed."""
        stamp = self._stamp()
        query = {
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{self.access_key}/{self._scope(stamp)}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(expires_s),
            "X-Amz-SignedHeaders": "host",
            **(extra or {}),
        }
        text = "&".join(f"{quote(name, safe='')}={quote(query[name], safe='')}" for name in sorted(query))
        canonical = _canonical(method, path, text, {"host": host}, ["host"], UNSIGNED)
        return f"{path}?{text}&X-Amz-Signature={self._sign(stamp, canonical)}"

    def _stamp(self) -> str:
        return (self.now or datetime.datetime.now(datetime.UTC)).strftime("%Y%m%dT%H%M%SZ")

    def _scope(self, stamp: str) -> str:
        return f"{stamp[:8]}/{self.region}/s3/aws4_request"

    def _key(self, stamp: str) -> bytes:
        key = f"AWS4{self.secret_key}".encode()
        for part in self._scope(stamp).split("/"):
            key = _hmac(key, part)
        return key

    def _sign(self, stamp: str, canonical: str) -> str:
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        return _hmac(self._key(stamp), f"{_ALGORITHM}\n{stamp}\n{self._scope(stamp)}\n{hashed}").hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Headers of a signed request, and what signs the chunks of its body."""

    headers: Mapping[str, str]
    signature: str
    stamp: str
    scope: str
    key: bytes

    def chunked(self, chunks: Iterable[bytes], trailer: Mapping[str, str] | None = None) -> bytes:
        """An aws-chunked body, each chunk signed; the last, empty one is added."""
        body, previous = b"", self.signature
        for chunk in (*chunks, b""):
            hashed = hashlib.sha256(chunk).hexdigest()
            previous = self._sign("PAYLOAD", previous, f"{EMPTY_SHA256}\n{hashed}")
            body += f"{len(chunk):x};chunk-signature={previous}\r\n".encode()
            if chunk:
                body += chunk + b"\r\n"
        if trailer is None:
            return body + b"\r\n"
        lines = "".join(f"{name}:{value}\n" for name, value in trailer.items())
        signature = self._sign("TRAILER", previous, hashlib.sha256(lines.encode()).hexdigest())
        sent = "".join(f"{name}:{value}\r\n" for name, value in trailer.items())
        return body + f"{sent}x-amz-trailer-signature:{signature}\r\n\r\n".encode()

    def _sign(self, what: str, previous: str, rest: str) -> str:
        text = f"{_ALGORITHM}-{what}\n{self.stamp}\n{self.scope}\n{previous}\n{rest}"
        return _hmac(self.key, text).hex()


def unsigned_chunked(chunks: Iterable[bytes], trailer: Mapping[str, str]) -> bytes:
    """The body of STREAMING-UNSIGNED-PAYLOAD-TRAILER."""
    body = b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks)
    lines = "".join(f"{name}:{value}\r\n" for name, value in trailer.items())
    return body + b"0\r\n" + lines.encode() + b"\r\n"


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _canonical(
    method: str, path: str, query: str, headers: Mapping[str, str], names: list[str], payload_hash: str
) -> str:
    lower = {name.lower(): value for name, value in headers.items()}
    pairs = sorted(pair.partition("=")[::2] for pair in query.split("&") if pair)
    lines = "".join(f"{name}:{' '.join(lower[name].split())}\n" for name in names)
    return f"{method}\n{path}\n{'&'.join('='.join(pair) for pair in pairs)}\n{lines}\n{';'.join(names)}\n{payload_hash}"
