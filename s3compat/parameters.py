"""Values of headers and query parameters -> Python values, with AWS's error for each that is none.

The tables hold what AWS does beside the service model: ranges, wordings, values that it takes or ignores.
XML values are in xml_input.py.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from s3compat.errors import S3Error
from s3compat.scalars import read_boolean, read_integer, read_iso_timestamp, read_timestamp
from s3compat.service_model import Kind, Member, Shape
from s3compat.xml_input import LENIENT_ENUMS

_INT_MAX: Final = 2**31 - 1
_LONG_MAX: Final = 2**63 - 1


class _Range(NamedTuple):
    lowest: int
    highest: int
    message: str | None = None


_RANGES: Final[Mapping[str, _Range]] = MappingProxyType(
    {
        "MaxKeys": _Range(0, _INT_MAX),
        "MaxParts": _Range(0, _INT_MAX),
        "MaxUploads": _Range(0, _INT_MAX),
        "PartNumberMarker": _Range(0, _INT_MAX),
        "PartNumber": _Range(1, 10_000, "Part number must be an integer between 1 and 10000, inclusive"),
        "ContentLength": _Range(0, _LONG_MAX),
        "MpuObjectSize": _Range(0, _LONG_MAX),
        "WriteOffsetBytes": _Range(0, _LONG_MAX),
    }
)

# Shape -> what AWS says to a value that the shape's enum lacks.
_ENUM_MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "EncodingType": "Invalid Encoding Method specified in Request",
        "MetadataDirective": "Unknown metadata directive.",
        "TaggingDirective": "Unknown tagging directive.",
        "ObjectAttributes": "Invalid attribute name specified.",
        "ObjectLockLegalHoldStatus": "Legal Hold must be either of 'ON' or 'OFF'",
        "ObjectLockMode": "Unknown wormMode directive.",
        "ObjectOwnership": "Invalid x-amz-object-ownership header",
        "ServerSideEncryption": "The encryption method specified is not supported",
    }
)
# Canned ACLs that AWS documents ("Canned ACL" in the User Guide) and the model leaves out.
_MORE_VALUES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "BucketCannedACL": frozenset(
            {"log-delivery-write", "aws-exec-read", "bucket-owner-read", "bucket-owner-full-control"}
        ),
        "ObjectCannedACL": frozenset({"log-delivery-write"}),
    }
)
# RFC 9110 sections 13.1.3 and 13.1.4: a recipient ignores these when the date is no date.
_IGNORED_WHEN_NO_DATE: Final = frozenset({"if-modified-since", "if-unmodified-since"})

_UNSAFE_IN_HEADER: Final = re.compile(r"[^\t\x20-\x7e\x80-\xff]")

Reader = Callable[[str, Member], Any]


def _invalid(member: Member, text: str, message: str | None = None) -> S3Error:
    return S3Error("InvalidArgument", message, ArgumentName=member.wire_name, ArgumentValue=text)


def _read_integer(text: str, member: Member) -> int | None:
    if not text:
        return None
    value = read_integer(text, member.shape.kind)
    allowed = _RANGES.get(member.name) or _model_range(member.shape)
    if value is None:
        message = allowed and allowed.message
        raise _invalid(member, text, message or f"Provided {member.wire_name} not an integer or within integer range")
    if allowed is not None and not allowed.lowest <= value <= allowed.highest:
        argument = _camel_case(member.wire_name)
        message = allowed.message or (
            f"Argument {argument} must be an integer between {allowed.lowest} and {allowed.highest}"
        )
        raise S3Error("InvalidArgument", message, ArgumentName=argument, ArgumentValue=text)
    return value


def _model_range(shape: Shape) -> _Range | None:
    if shape.minimum is None or shape.maximum is None:
        return None
    return _Range(shape.minimum, shape.maximum)


def _camel_case(name: str) -> str:
    head, *rest = name.split("-")
    return head + "".join(word.capitalize() for word in rest)


def _read_boolean(text: str, member: Member) -> bool | None:
    if not text:
        return None
    value = read_boolean(text)
    if value is None:
        raise _invalid(member, text)
    return value


def _read_timestamp(text: str, member: Member) -> Any:
    if not text:
        return None
    if member.shape.timestamp_format == "iso8601":
        value = read_iso_timestamp(text)
        if value is None:
            raise _invalid(member, text, "The retain until date must be provided in ISO 8601 format")
        return value
    value = read_timestamp(text)
    if value is None and member.wire_name.lower() not in _IGNORED_WHEN_NO_DATE:
        raise _invalid(member, text)
    return value


def _read_enum(text: str, member: Member) -> str | None:
    if not text:
        return None
    _check_enum(text, member.shape, member)
    return text


def _read_list(text: str, member: Member) -> list[str] | None:
    values = [value.strip() for value in text.split(",") if value.strip()]
    item = member.shape.item
    if item is not None:
        for value in values:
            _check_enum(value, item, member)
    return values or None


def _check_enum(text: str, shape: Shape, member: Member) -> None:
    if shape.enum is None or text in shape.enum or text in _MORE_VALUES.get(shape.name, ()):
        return
    if shape.name == "StorageClass":
        raise S3Error("InvalidStorageClass", StorageClassRequested=text)
    if shape.name == "ChecksumType":
        raise S3Error("InvalidRequest", f"Value for {member.wire_name} header is invalid.")
    raise _invalid(member, text, _ENUM_MESSAGES.get(shape.name))


def _read_version_id(text: str, member: Member) -> str:
    if not text:
        raise _invalid(member, text, "Version id cannot be the empty string")
    return text


def _read_override(text: str, member: Member) -> str:
    """A response-* parameter, which is going to be a header of the response."""
    if _UNSAFE_IN_HEADER.search(text):
        raise _invalid(member, text, "Header value cannot be represented using ISO-8859-1.")
    return text


def _read_unless_empty(text: str, member: Member) -> str | None:
    return text or None


_READERS: Final[Mapping[Kind, Reader]] = MappingProxyType(
    {
        Kind.INTEGER: _read_integer,
        Kind.LONG: _read_integer,
        Kind.BOOLEAN: _read_boolean,
        Kind.TIMESTAMP: _read_timestamp,
        Kind.LIST: _read_list,
    }
)


def reader_of(member: Member) -> Reader | None:
    """What turns the text of a member into its value; None stands for text taken as it is.

    A reader returns None for a value that counts as absent, and raises S3Error InvalidArgument, InvalidRequest or
    InvalidStorageClass.
    """
    if member.shape.kind in _READERS:
        return _READERS[member.shape.kind]
    if member.wire_name == "versionId":
        return _read_version_id
    if member.wire_name.startswith("response-"):
        return _read_override
    if member.wire_name == "Content-Type":
        return _read_unless_empty
    if member.shape.enum is not None and member.shape.name not in LENIENT_ENUMS:
        return _read_enum
    return None
