"""Makes compose/.env from compose/.env.example, with fresh secrets; leaves an existing one alone.

Run by `make up` with nothing but the standard library.
"""

import base64
import os
import secrets
from pathlib import Path

HERE = Path(__file__).resolve().parent

#: Variables that get a value of their own in every installation.
SECRETS = {
    "CAIRN_CLUSTER_SECRET": lambda: secrets.token_hex(32),
    "CAIRN_MASTER_KEY": lambda: base64.b64encode(secrets.token_bytes(32)).decode(),
    "CAIRN_ROOT_ACCESS_KEY": lambda: "CAIRN" + secrets.token_hex(8).upper()[:15],
    "CAIRN_ROOT_SECRET_KEY": lambda: secrets.token_hex(20),
    "REDIS_PASSWORD": lambda: secrets.token_hex(20),
}


def with_secrets(example: str) -> str:
    """The example's text with each empty secret filled in."""
    lines = []
    for line in example.splitlines():
        name, separator, value = line.partition("=")
        make = SECRETS.get(name)
        lines.append(f"{name}={make()}" if separator and make and not value else line)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Create the file for its owner's eyes only."""
    path = HERE / ".env"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(with_secrets((HERE / ".env.example").read_text(encoding="utf-8")))
    print(f"made {path}: the keys of the root user are in it")


if __name__ == "__main__":
    main()
