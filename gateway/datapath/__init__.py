"""The way of the bytes between a request and the storage nodes: hashing, writing, reading."""

from gateway.datapath.damage import Damage, DamageKind
from gateway.datapath.errors import BytesUnavailable, DataPathError, NotEnoughNodes, WriteFailed
from gateway.datapath.facade import DataPath
from gateway.datapath.writer import SEGMENT_BYTES, ExtentWriter
from gateway.index.records import Origin

__all__ = [
    "SEGMENT_BYTES",
    "BytesUnavailable",
    "Damage",
    "DamageKind",
    "DataPath",
    "DataPathError",
    "ExtentWriter",
    "NotEnoughNodes",
    "Origin",
    "WriteFailed",
]
