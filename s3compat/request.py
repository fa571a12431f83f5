"""One HTTP request as S3 sees it: raw path and query, headers, and the bucket and key they address.

Decoding happens here, once, and strictly; the raw bytes stay beside the decoded names because SigV4 signs
them. Nothing about operations, authentication or bodies may live here.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from s3compat.errors import S3Error

MAX_KEY_BYTES: Final = 1024
"""Longest object key in UTF-8 bytes (S3 User Guide, "Naming Amazon S3 objects")."""

_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class Headers:
    """Request headers: an immutable multimap, names case-insensitive, values latin-1 decoded (lossless)."""

    __slots__ = ("_items", "_joined")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items = tuple((name.lower(), value.strip(" \t")) for name, value in items)
        self._joined = _join(self._items)

    @classmethod
    def from_raw(cls, raw: Iterable[tuple[bytes, bytes]]) -> "Headers":
        """Build from the byte pairs of an ASGI scope."""
        return cls((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw)

    def get(self, name: str) -> str | None:
        """The value, repeated headers joined with ',' (RFC 9110 section 5.3), or None."""
        return self._joined.get(name.lower())

    def get_all(self, name: str) -> list[str]:
        """Each value of a repeated header, in wire order."""
        wanted = name.lower()
        return [value for item, value in self._items if item == wanted]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._joined

    def items(self) -> tuple[tuple[str, str], ...]:
        """Every header line in wire order, names in lower case."""
        return self._items

    def __iter__(self) -> Iterator[str]:
        """Distinct names in lower case, in order of first appearance."""
        return iter(self._joined)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._items == other._items

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        # Values may be secrets (Authorization, SSE-C keys), and a repr ends up in logs.
        return f"Headers({', '.join(self._joined)})"


def _join(items: tuple[tuple[str, str], ...]) -> dict[str, str]:
    joined = dict(items)
    if len(joined) != len(items):
        joined = {}
        for name, value in items:
            joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


class QueryParams:
    """Decoded query parameters: ordered, immutable, repeats kept; `acl` and `acl=` are both ("acl", "")."""

    __slots__ = ("_first", "_items")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items = tuple(items)
        self._first = dict(reversed(self._items))

    @classmethod
    def parse(cls, raw_query: bytes) -> "QueryParams":
        """Decode a raw query string; "+" is a space. Raises S3Error InvalidURI on bad escapes or UTF-8."""
        if not raw_query:
            return NO_PARAMS
        pairs = []
        for piece in raw_query.split(b"&"):
            if piece:
                name, _, value = piece.partition(b"=")
                pairs.append((_decode_query(name), _decode_query(value)))
        return cls(pairs)

    def get(self, name: str) -> str | None:
        """The first value of this exact (case-sensitive) name, or None."""
        return self._first.get(name)

    def get_all(self, name: str) -> list[str]:
        """Each value of a repeated parameter, in order."""
        return [value for item, value in self._items if item == name]

    def __contains__(self, name: object) -> bool:
        return name in self._first

    def items(self) -> tuple[tuple[str, str], ...]:
        """Every parameter in wire order."""
        return self._items

    def __iter__(self) -> Iterator[str]:
        """Distinct names."""
        return iter(self._first)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, QueryParams) and self._items == other._items

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        return f"QueryParams({', '.join(self._first)})"


NO_PARAMS: Final = QueryParams()


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Request:
    """One request, as it came and as it is addressed. `secure` says whether it came over TLS."""

    method: str
    raw_path: bytes
    raw_query: bytes
    headers: Headers
    secure: bool
    bucket: str | None
    key: str | None
    query: QueryParams

    @classmethod
    def build(
        cls,
        method: str,
        raw_path: bytes,
        raw_query: bytes,
        headers: Headers,
        secure: bool,
        domains: tuple[str, ...],
    ) -> "S3Request":
        """Decode addressing, in the path or (`bucket.DOMAIN` for one of `domains`) in the Host header.

        Raises S3Error InvalidURI (bad %XX or UTF-8), InvalidBucketName (`//key`), InvalidArgument (NUL in the
        key), KeyTooLongError. The bucket name is not checked here: see names.py.
        """
        if not raw_path.startswith(b"/"):
            raise S3Error("InvalidURI", URI=raw_path.decode("latin-1"))
        bucket = virtual_host_bucket(headers.get("host"), domains) if domains else None
        if bucket is None:
            raw_bucket, slash, raw_key = raw_path[1:].partition(b"/")
            if raw_bucket:
                bucket = _decode_path(raw_bucket)
            elif slash:
                raise S3Error("InvalidBucketName", BucketName="")
        else:
            raw_key = raw_path[1:]
        return cls(
            method=method,
            raw_path=raw_path,
            raw_query=raw_query,
            headers=headers,
            secure=secure,
            bucket=bucket,
            key=_decode_key(raw_key) if raw_key else None,
            query=QueryParams.parse(raw_query),
        )


@lru_cache(maxsize=1024)
def virtual_host_bucket(host: str | None, domains: tuple[str, ...]) -> str | None:
    """The bucket that a Host header names under one of our domains, or None for path addressing."""
    if not host:
        return None
    name = re.sub(r":\d*$", "", host).rstrip(".").lower()
    known = sorted((domain.lower().strip(".") for domain in domains), key=len, reverse=True)
    if name in known:
        return None
    for domain in known:
        if domain and name.endswith("." + domain):
            return name[: -len(domain) - 1] or None
    return None


def _decode_path(raw: bytes) -> str:
    """Percent-decode once; '+' stays a plus."""
    try:
        if b"%" in raw:
            if _BAD_ESCAPE.search(raw):
                raise S3Error("InvalidURI", URI=raw.decode("latin-1"))
            raw = unquote_to_bytes(raw)
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise S3Error("InvalidURI", URI=raw.decode("latin-1")) from error


def _decode_query(raw: bytes) -> str:
    return _decode_path(raw.replace(b"+", b" "))


def _decode_key(raw: bytes) -> str:
    key = _decode_path(raw)
    if "\0" in key:
        raise S3Error("InvalidArgument", "Object keys cannot contain NUL.", ArgumentName="Key")
    if len(key) * 4 > MAX_KEY_BYTES:
        size_bytes = len(key.encode())
        if size_bytes > MAX_KEY_BYTES:
            raise S3Error("KeyTooLongError", Size=str(size_bytes), MaxSizeAllowed=str(MAX_KEY_BYTES))
    return key
