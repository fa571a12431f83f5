"""Wrapped keys: opened by the same key for the same purpose and binding, and by nothing else."""

import os

import pytest

from gateway.encryption.wrapping import WrongKey, unwrap_key, wrap_key

ROOT, KEY = b"r" * 32, b"k" * 32


def wrapped(root: bytes = ROOT, purpose: bytes = b"p", bound: bytes = b"b") -> bytes:
    return wrap_key(root, KEY, purpose=purpose, bound=bound, random_bytes=os.urandom)


def test_a_key_comes_back() -> None:
    assert unwrap_key(ROOT, wrapped(), purpose=b"p", bound=b"b") == KEY


@pytest.mark.parametrize(
    ("root", "purpose", "bound"),
    [(b"s" * 32, b"p", b"b"), (ROOT, b"q", b"b"), (ROOT, b"p", b"c"), (ROOT, b"p", b""), (ROOT, b"pb", b"")],
)
def test_nothing_else_opens_it(root: bytes, purpose: bytes, bound: bytes) -> None:
    with pytest.raises(WrongKey):
        unwrap_key(root, wrapped(), purpose=purpose, bound=bound)


def test_every_flipped_bit_is_found() -> None:
    sealed = wrapped()
    for bit in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(WrongKey):
            unwrap_key(ROOT, bytes(altered), purpose=b"p", bound=b"b")


@pytest.mark.parametrize("length", range(66))
def test_what_was_cut_short_does_not_open(length: int) -> None:
    with pytest.raises(WrongKey):
        unwrap_key(ROOT, wrapped()[: length if length < 65 else 0], purpose=b"p", bound=b"b")


@pytest.mark.parametrize("root", [b"", b"r" * 16, b"r" * 33])
def test_nothing_is_wrapped_under_a_key_that_is_none(root: bytes) -> None:
    with pytest.raises(ValueError, match="root key"):
        wrapped(root)


def test_the_same_key_is_never_wrapped_the_same_way_twice() -> None:
    assert wrapped() != wrapped()
    assert KEY not in wrapped()
