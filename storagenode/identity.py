"""Who a node is: DIR/node.json, made on the first start and never changed.

    {"format": 1, "node_id": "<16 hex digits>"}

The id belongs to the directory, not to the process or its address: blobs are found by it after a move.
"""

import json
import re
from collections.abc import Callable

from storagenode.disk import Disk

FORMAT = 1
"""Of the whole directory; history: 1, the first."""

_NODE_ID_BYTES = 8
_NODE_ID = re.compile(r"[0-9a-f]{16}")


class UnknownDirectory(Exception):
    """node.json is damaged or of a newer format: this program must not touch the directory."""


def establish(disk: Disk, directory: str, random_bytes: Callable[[int], bytes]) -> str:
    """The node id of DIR, made up if there is none yet. Raises UnknownDirectory, OSError."""
    path = f"{directory}/node.json"
    if disk.exists(path):
        return _read(disk, path)
    node_id = random_bytes(_NODE_ID_BYTES).hex()
    # Through a temporary name, as blobs: a torn node.json would cost the node its identity.
    temporary = f"{directory}/tmp/node.json"
    descriptor = disk.create(temporary)
    try:
        disk.write(descriptor, [json.dumps({"format": FORMAT, "node_id": node_id}).encode() + b"\n"])
        disk.fsync(descriptor)
    finally:
        disk.close(descriptor)
    disk.rename(temporary, path)
    disk.fsync_directory(directory)
    return node_id


def is_present(disk: Disk, directory: str) -> bool:
    """Whether DIR is still the node's: an unmounted or emptied directory must not take new blobs."""
    return disk.exists(f"{directory}/node.json")


def _read(disk: Disk, path: str) -> str:
    descriptor = disk.open(path)
    try:
        text = disk.read(descriptor, 0, 4096)
    finally:
        disk.close(descriptor)
    try:
        match json.loads(text):
            case {"format": 1, "node_id": str(node_id)} if _NODE_ID.fullmatch(node_id):
                return node_id
            case {"format": int(version)} if version != FORMAT:
                raise UnknownDirectory(f"{path} is of format {version}")
    except ValueError:
        pass
    raise UnknownDirectory(f"{path} is damaged")
