"""One key encrypted under another. Pure but for the randomness that is passed in.

    wrapped key   1 byte, the format (1) ‖ 16 bytes, random ‖ the ciphertext, as long as the key ‖ 16 bytes, the tag

The wrapping key is HKDF-SHA256 of the root key with those random bytes as its salt, for the purpose that is named; so
each wrapping key is used once, its nonce can be zero, and one root key may wrap any number of keys: a random nonce of
12 bytes would have to stop at 2^32 of them (NIST SP 800-38D, section 8.3). Purpose and what the caller binds are
authenticated with it.
"""

from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_FORMAT = b"\x01"
_SALT_BYTES = 16
_NONCE = bytes(12)
_KEY_BYTES = 32


class WrongKey(Exception):
    """The root key does not open a wrapped key: it is another one, or what was wrapped or bound has changed."""


def wrap_key(
    root_key: bytes, key: bytes, *, purpose: bytes, bound: bytes, random_bytes: Callable[[int], bytes]
) -> bytes:
    """Encrypt `key` for storing. Raises ValueError for a root key that is missing or of another size."""
    if len(root_key) != _KEY_BYTES:
        raise ValueError(f"a root key has {_KEY_BYTES} bytes, not {len(root_key)}")
    salt = random_bytes(_SALT_BYTES)
    return _FORMAT + salt + _cipher(root_key, salt, purpose).encrypt(_NONCE, key, _authenticated(purpose, bound))


def unwrap_key(root_key: bytes, wrapped: bytes, *, purpose: bytes, bound: bytes) -> bytes:
    """Decrypt what `wrap_key` made. Raises WrongKey."""
    if wrapped[:1] != _FORMAT:
        raise WrongKey(f"format {wrapped[:1].hex()} of a wrapped key is not known")
    salt, ciphertext = wrapped[1 : 1 + _SALT_BYTES], wrapped[1 + _SALT_BYTES :]
    try:
        return _cipher(root_key, salt, purpose).decrypt(_NONCE, ciphertext, _authenticated(purpose, bound))
    except (InvalidTag, ValueError) as error:
        raise WrongKey("the key does not open what was wrapped") from error


def _cipher(root_key: bytes, salt: bytes, purpose: bytes) -> AESGCM:
    info = b"cairn wrap 1 " + purpose
    return AESGCM(HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=salt, info=info).derive(root_key))


def _authenticated(purpose: bytes, bound: bytes) -> bytes:
    return len(purpose).to_bytes(2) + purpose + bound
