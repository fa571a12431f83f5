"""The rules for names of general purpose buckets.

Source: S3 User Guide, "General purpose bucket naming rules". Object keys have no rules but their length,
which request.py checks.
"""

import re
from typing import Final

from s3compat.errors import S3Error

# Lowercase letters, digits, dots and hyphens, 3 to 63 of them. Each label between dots starts and ends with
# a letter or digit: AWS refuses `a..b`, and `a.-b` too, which the page says less clearly.
_LABEL: Final = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_NAME: Final = re.compile(rf"(?=.{{3,63}}\Z){_LABEL}(?:\.{_LABEL})*\Z")
_ADDRESS: Final = re.compile(r"[0-9]+(?:\.[0-9]+){3}\Z")

_RESERVED_PREFIXES: Final = ("xn--", "sthree-", "amzn-s3-demo-")
# -an is kept for buckets of an account regional namespace, which we do not have.
_RESERVED_SUFFIXES: Final = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3", "-an")
# The two routes of the original system answer under these first path segments.
_RESERVED_NAMES: Final = frozenset({"upload", "blob"})


def check_bucket_name(name: str) -> None:
    """Raise S3Error InvalidBucketName unless a bucket of this name may be created."""
    if (
        _NAME.match(name) is None
        or name in _RESERVED_NAMES
        or name.startswith(_RESERVED_PREFIXES)
        or name.endswith(_RESERVED_SUFFIXES)
        or _ADDRESS.match(name) is not None
    ):
        raise S3Error("InvalidBucketName", BucketName=name)
