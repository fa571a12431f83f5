"""The key files of a data directory: DIR/keys/root.json, master.key and cluster.key.

Only their creation and reading live here. The directory has mode 0700 and the files 0600; a key file, once
made, is never changed, because the master key alone opens the secrets in the index. Formats:

root.json    {"format": 1, "access_key": ..., "secret_key": ...}
master.key   base64 of 32 bytes, and a newline
cluster.key  64 hex digits (the text itself is the secret), and a newline
"""

import base64
import json
import os
import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT_FORMAT = 1
ROOT_FILE = "root.json"
MASTER_FILE = "master.key"
CLUSTER_FILE = "cluster.key"

_ACCESS_KEY_LENGTH = 20
_SECRET_KEY_LENGTH = 40
#: No `+` or `/`, which need quoting in URLs and configuration files.
_KEY_ALPHABET = string.ascii_letters + string.digits


class KeyFileError(Exception):
    """A key file cannot be read, or does not hold what it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Contents of the key files; what has no file is empty."""

    root_access_key: str
    root_secret_key: str = field(repr=False)
    master_key: str = field(repr=False)
    cluster_secret: str = field(repr=False)


def new_access_key() -> str:
    """20 upper-case letters and digits, as AWS's look."""
    return "CAIRN" + "".join(
        secrets.choice(string.ascii_uppercase + string.digits) for _ in range(_ACCESS_KEY_LENGTH - len("CAIRN"))
    )


def new_secret_key() -> str:
    """40 letters and digits, 238 bits."""
    return "".join(secrets.choice(_KEY_ALPHABET) for _ in range(_SECRET_KEY_LENGTH))


def read_keys(directory: Path) -> Keys:
    """Read the key files that exist in `directory`. Raises KeyFileError."""
    access_key, secret_key = _read_root(directory / ROOT_FILE)
    return Keys(
        root_access_key=access_key,
        root_secret_key=secret_key,
        master_key=_read(directory / MASTER_FILE),
        cluster_secret=_read(directory / CLUSTER_FILE),
    )


def ensure_keys(directory: Path) -> Keys:
    """Create the key files that are missing, durably, and read them all. Raises KeyFileError or OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _create_missing(directory / ROOT_FILE, _new_root)
    _create_missing(directory / MASTER_FILE, lambda: base64.b64encode(secrets.token_bytes(32)).decode())
    _create_missing(directory / CLUSTER_FILE, lambda: secrets.token_hex(32))
    return read_keys(directory)


def _new_root() -> str:
    root = {"format": ROOT_FORMAT, "access_key": new_access_key(), "secret_key": new_secret_key()}
    return json.dumps(root, indent=2)


def _create_missing(path: Path, make: Callable[[], str]) -> None:
    """Write `path` unless it exists, so that it is whole and on disk or not there at all."""
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(make() + "\n")
            file.flush()
            os.fsync(file.fileno())
        # link, unlike rename, fails if another process made the file meanwhile: its key stands then.
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path}: {error}") from error


def _read_root(path: Path) -> tuple[str, str]:
    if not (text := _read(path)):
        return "", ""
    try:
        root = json.loads(text)
        if root["format"] != ROOT_FORMAT:
            raise KeyFileError(f"{path}: format {root['format']!r} is not known to this version")
        return str(root["access_key"]), str(root["secret_key"])
    except (ValueError, KeyError, TypeError) as error:
        raise KeyFileError(f"{path}: not a root key file") from error
