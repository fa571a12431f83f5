"""From the text of a setting to its value: each parser raises ValueError saying what it expects."""

import base64
import binascii
from pathlib import Path

#: AES-256.
MASTER_KEY_SIZE_BYTES = 32

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


def parse_text(text: str) -> str:
    return text


def parse_flag(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered not in _TRUE | _FALSE:
        raise ValueError("expected on or off")
    return lowered in _TRUE


def parse_count(text: str) -> int:
    """A whole number, zero allowed."""
    if not text.isascii() or not text.isdigit():
        raise ValueError("expected a whole number")
    return int(text)


def parse_positive_count(text: str) -> int:
    if (count := parse_count(text)) < 1:
        raise ValueError("expected a whole number above zero")
    return count


def parse_port(text: str) -> int:
    if (port := parse_count(text)) > 65535:
        raise ValueError("expected a port between 0 and 65535")
    return port


def parse_seconds(text: str) -> float:
    """A positive, finite number of seconds."""
    try:
        seconds = float(text)
    except ValueError:
        raise ValueError("expected a number of seconds") from None
    if not 0 < seconds < float("inf"):
        raise ValueError("expected a number of seconds above zero")
    return seconds


def parse_index_host(text: str) -> str:
    """What gateway/index/discovery.py takes: a host, unix:PATH, sentinel:NAME@HOST:PORT,… or cluster:HOST:PORT,…"""
    kind, _, rest = text.partition(":")
    name, at, places = rest.partition("@")
    if kind == "sentinel" and not (name and at and places):
        raise ValueError("expected sentinel:NAME@HOST:PORT,...")
    if kind in ("unix", "cluster") and not rest:
        raise ValueError(f"expected something behind {kind}:")
    return text


def parse_log_format(text: str) -> str:
    if text not in ("json", "text", "auto"):
        raise ValueError("expected json, text or auto")
    return text


def parse_object_ownership(text: str) -> str:
    if text not in ("BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"):
        raise ValueError("expected BucketOwnerEnforced, BucketOwnerPreferred or ObjectWriter")
    return text


def parse_domains(text: str) -> tuple[str, ...]:
    """`s3.example.com,s3.test` -> lower-case names; a bucket may be put in front of each as a host label."""
    return tuple(domain.strip().lower().rstrip(".") for domain in text.split(",") if domain.strip())


def parse_path(text: str) -> Path:
    if not text:
        raise ValueError("expected a path")
    return Path(text)


def parse_optional_path(text: str) -> Path | None:
    return Path(text) if text else None


def parse_master_key(text: str) -> bytes:
    """Base64 of 32 bytes; the empty text means no key."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        raise ValueError("expected base64") from None
    if key and len(key) != MASTER_KEY_SIZE_BYTES:
        raise ValueError(f"expected base64 of {MASTER_KEY_SIZE_BYTES} bytes")
    return key
