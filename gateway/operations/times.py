"""Times of the index (milliseconds since the epoch) as S3 shows them."""

from datetime import UTC, datetime


def from_ms(milliseconds: int) -> datetime:
    """A UTC-aware datetime."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def whole_seconds(milliseconds: int) -> datetime:
    """The time as HTTP dates carry it, which conditions are compared with (RFC 9110 section 5.6.7)."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC)
