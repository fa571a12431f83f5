"""Whole HTTP requests as bytes, signed before the clock starts, so that a client only sends them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from s3compat.sigv4 import sign_request_headers

#: SHA-256 of nothing, in hex.
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Makes request heads for one server and one user. Signatures hold for 15 minutes."""

    host: str
    port: int
    access_key: str
    secret_key: str
    region: str

    def head(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        payload_sha256: str = EMPTY_SHA256,
        body_size_bytes: int = 0,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> bytes:
        """Request line and headers with the empty line behind them; `path` is not yet percent-encoded."""
        raw_path = quote(path)
        sent = [("host", f"{self.host}:{self.port}"), *headers]
        added = sign_request_headers(
            method=method,
            raw_path=raw_path.encode(),
            raw_query=query.encode(),
            headers=sent,
            payload_hash=payload_sha256,
            access_key=self.access_key,
            secret_key=self.secret_key,
            region=self.region,
            timestamp=datetime.now(UTC),
        )
        if method in ("PUT", "POST"):
            sent.append(("content-length", str(body_size_bytes)))
        target = f"{raw_path}?{query}" if query else raw_path
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in [*sent, *added])]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()
