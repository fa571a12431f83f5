"""Bodies are recognised, and anything that is not one of them."""

import hashlib

import pytest

from tests.storm.content import PART_MINIMUM_BYTES, Torn, Value, etag_of_parts, identify, parts_of


def value(counter: int = 1, size: int = 1000) -> Value:
    return Value(key="k/00/01", writer="c1", counter=counter, size_bytes=size)


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_body_says_whose_it_is(size: int) -> None:
    assert identify(value(size=size).body) == "k/00/01 c1 1"


def wrong_bodies() -> dict[str, bytes]:
    body, other = value().body, value(2).body
    head = body.index(b"\n") + 1
    return {
        "empty": b"",
        "cut": body[:-1],
        "cut in its head": body[:5],
        "too long": body + b"x",
        "one bit": body[:500] + bytes([body[500] ^ 1]) + body[501:],
        "end of another": body[:700] + other[700:],
        "head of another": other[: other.index(b"\n") + 1] + body[head:],
        "zeros": bytes(len(body)),
    }


@pytest.mark.parametrize("name", wrong_bodies())
def test_any_other_body_is_torn(name: str) -> None:
    with pytest.raises(Torn):
        identify(wrong_bodies()[name])


def test_parts_make_the_body_and_its_etag() -> None:
    body = value(size=PART_MINIMUM_BYTES + 10).body
    parts = parts_of(body)
    assert [len(part) for part in parts] == [PART_MINIMUM_BYTES, len(body) - PART_MINIMUM_BYTES]
    assert b"".join(parts) == body
    digests = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in parts)
    assert etag_of_parts(parts) == hashlib.md5(digests, usedforsecurity=False).hexdigest() + "-2"
