"""The tags of a bucket among its configuration documents: msgpack [format, [[key, value], ...]]."""

from functools import lru_cache

import msgpack

from gateway.index.records import BucketRecord
from s3compat.tags import Tags

BUCKET_TAGS = "tagging"
_FORMAT = 1


def encode_bucket_tags(tags: Tags) -> bytes:
    """The stored form."""
    packed: bytes = msgpack.packb((_FORMAT, tags))
    return packed


@lru_cache(maxsize=64)
def decode_bucket_tags(document: bytes) -> Tags:
    """The inverse of `encode_bucket_tags`."""
    return tuple([(key, value) for key, value in msgpack.unpackb(document)[1]])


def bucket_tags(bucket: BucketRecord) -> Tags:
    """The tags of a bucket that was read as a whole."""
    document = bucket.configs.get(BUCKET_TAGS)
    return () if document is None else decode_bucket_tags(document)
