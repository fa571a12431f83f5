"""Outputs under AWS's member names -> XML, by the shapes of the service model.

Writers are closures made once for each shape: f-strings into a list, because a listing of 1,000 keys is the
commonest large answer and ElementTree takes ten times as long for it. What a document is called and which
headers go with it is in serialization.py.
"""

import heapq
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_plus

from s3compat.scalars import iso_milliseconds, iso_seconds
from s3compat.service_model import XSI_NAMESPACE, Kind, Location, Member, Shape

Write = Callable[[list[str], Any], None]

# XML 1.0 section 2.2 holds no control characters but tab, line feed and carriage return. AWS sends the others as
# references all the same, which strict parsers refuse: that is what encoding-type=url is for. A bare carriage
# return would be read back as a line feed (section 2.11).
_CONTROLS: Final = {
    **{code: f"&#x{code:x};" for code in (*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0xFFFE, 0xFFFF)},
    ord("\r"): "&#13;",
}
_NEEDS_ESCAPE: Final = re.compile('[\x00-\x08\x0b-\x1f&<>"\ufffe\uffff]')
_HAS_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]")

# AWS's order where it differs from the model's; members not named follow in the model's order.
_ORDERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "CopyObjectResult": ("LastModified", "ETag"),
        "CopyPartResult": ("LastModified", "ETag"),
        "DeleteMarkerEntry": ("Key", "VersionId", "IsLatest", "LastModified", "Owner"),
        "Grantee": ("ID", "DisplayName"),
        "Initiator": ("ID", "DisplayName"),
        "LifecycleRule": ("ID", "Prefix", "Filter", "Status"),
        "ListBucketsOutput": ("Owner", "Buckets", "Prefix", "ContinuationToken"),
        "ListMultipartUploadsOutput": (
            *("Bucket", "KeyMarker", "UploadIdMarker", "NextKeyMarker", "NextUploadIdMarker", "Prefix"),
            *("Delimiter", "EncodingType", "MaxUploads", "IsTruncated", "Uploads", "CommonPrefixes"),
        ),
        "ListObjectVersionsOutput": (
            *("Name", "Prefix", "KeyMarker", "VersionIdMarker", "NextKeyMarker", "NextVersionIdMarker"),
            *("MaxKeys", "Delimiter", "EncodingType", "IsTruncated", "Versions", "CommonPrefixes"),
        ),
        "ListObjectsOutput": (
            *("Name", "Prefix", "Marker", "NextMarker", "MaxKeys", "Delimiter", "EncodingType"),
            *("IsTruncated", "Contents", "CommonPrefixes"),
        ),
        "ListObjectsV2Output": (
            *("Name", "Prefix", "StartAfter", "ContinuationToken", "NextContinuationToken", "KeyCount"),
            *("MaxKeys", "Delimiter", "EncodingType", "IsTruncated", "Contents", "CommonPrefixes"),
        ),
        "ListPartsOutput": (
            *("Bucket", "Key", "UploadId", "Initiator", "Owner", "StorageClass", "PartNumberMarker"),
            *("NextPartNumberMarker", "MaxParts", "IsTruncated", "ChecksumAlgorithm", "ChecksumType", "Parts"),
        ),
        "MultipartUpload": ("Key", "UploadId", "Initiator", "Owner", "StorageClass", "Initiated"),
        "Object": ("Key", "LastModified", "ETag", "ChecksumAlgorithm", "ChecksumType", "Size", "Owner"),
        "ObjectVersion": (
            *("Key", "VersionId", "IsLatest", "LastModified", "ETag", "ChecksumAlgorithm", "ChecksumType"),
            *("Size", "Owner", "StorageClass"),
        ),
        "Owner": ("ID", "DisplayName"),
    }
)


def escape(text: str) -> str:
    """Text as XML character data, fit for attribute values too."""
    if _NEEDS_ESCAPE.search(text) is None:
        return text
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return text if _HAS_CONTROLS.search(text) is None else text.translate(_CONTROLS)


class _Field(NamedTuple):
    """A child of a structure: `text` for plain scalars, else `write`, which makes the whole element(s)."""

    name: str
    opening: str
    closing: str
    text: Callable[[Any], str] | None
    write: Write | None


@cache
def content_writer(shape: Shape) -> Write:
    """A function that appends what stands within the element of this structure to a list of strings."""
    fields = tuple(_field(member) for member in _ordered(shape))
    if shape.name == "ListObjectVersionsOutput":
        return _versions_writer(shape, fields)

    def write(out: list[str], value: Any) -> None:
        for name, opening, closing, text, write_element in fields:
            child = value.get(name)
            if child is None:
                continue
            if text is not None:
                out.append(f"{opening}{text(child)}{closing}")
            elif write_element is not None:
                write_element(out, child)

    return write


def _ordered(shape: Shape) -> list[Member]:
    members = {
        member.name: member for member in shape.members if member.location is Location.BODY and not member.xml_attribute
    }
    first = [name for name in _ORDERS.get(shape.name, ()) if name in members]
    return [members[name] for name in dict.fromkeys([*first, *members])]


def _field(member: Member) -> _Field:
    tag, shape = member.wire_name, member.shape
    text = _TEXTS.get(shape.kind)
    if text is not None:
        return _Field(member.name, f"<{tag}>", f"</{tag}>", _text_of(shape), None)
    if shape.item is not None:
        write = _each(tag, shape.item) if member.flattened else _wrapped(tag, shape.item_name, shape.item)
        return _Field(member.name, "", "", None, write)
    return _Field(member.name, "", "", None, _element(tag, shape))


def _element(tag: str, shape: Shape) -> Write:
    """A writer of one whole element."""
    closing = f"</{tag}>"
    if shape.kind is not Kind.STRUCTURE:
        opening, text = f"<{tag}>", _text_of(shape)
        return lambda out, value: out.append(f"{opening}{text(value)}{closing}")
    attributes = [member for member in shape.members if member.xml_attribute]
    content = content_writer(shape)

    def write(out: list[str], value: Any) -> None:
        out.append(f"<{tag}{_attributes(attributes, value)}>" if attributes else f"<{tag}>")
        content(out, value)
        out.append(closing)

    return write


def _attributes(members: list[Member], value: Mapping[str, Any]) -> str:
    # The model has one attribute, xsi:type of a Grantee, and AWS declares its prefix on the element itself.
    texts = [f' {member.wire_name}="{escape(value[member.name])}"' for member in members if member.name in value]
    return f' xmlns:xsi="{XSI_NAMESPACE}"{"".join(texts)}'


def _each(tag: str, item: Shape) -> Write:
    """A writer of a flattened list: its elements stand beside each other without a wrapper."""
    write_item = _element(tag, item)

    def write(out: list[str], values: Any) -> None:
        for value in values:
            write_item(out, value)

    return write


def _wrapped(tag: str, item_tag: str, item: Shape) -> Write:
    write_items = _each(item_tag, item)

    def write(out: list[str], values: Any) -> None:
        out.append(f"<{tag}>")
        write_items(out, values)
        out.append(f"</{tag}>")

    return write


def _versions_writer(shape: Shape, fields: tuple[_Field, ...]) -> Write:
    """AWS lists versions and delete markers in one sequence; the model, and so the output, has two lists."""
    items = {member.name: member.shape.item for member in shape.members}
    version, marker = items["Versions"], items["DeleteMarkers"]
    if version is None or marker is None:
        raise TypeError("Versions and DeleteMarkers are lists")
    writers = {"Version": _element("Version", version), "DeleteMarker": _element("DeleteMarker", marker)}

    def write_entries(out: list[str], output: Any) -> None:
        for tag, entry in _interleaved(output):
            writers[tag](out, entry)

    def write(out: list[str], value: Any) -> None:
        for name, opening, closing, text, write_element in fields:
            child = value.get(name)
            if name == "Versions":
                write_entries(out, value)
            elif child is not None and text is not None:
                out.append(f"{opening}{text(child)}{closing}")
            elif child is not None and write_element is not None and name != "DeleteMarkers":
                write_element(out, child)

    return write


def _interleaved(output: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Both lists merged by key, the newest of a key first; each keeps its own order."""
    encoded = output.get("EncodingType") == "url"

    def position(tagged: tuple[str, Mapping[str, Any]]) -> tuple[bytes, bool, float]:
        entry = tagged[1]
        key = entry.get("Key", "")
        name = unquote_plus(key) if encoded else key
        modified = entry.get("LastModified")
        age = -modified.timestamp() if modified is not None else 0.0
        return name.encode("utf-8", "surrogatepass"), not entry.get("IsLatest"), age

    return heapq.merge(
        (("Version", entry) for entry in output.get("Versions") or ()),
        (("DeleteMarker", entry) for entry in output.get("DeleteMarkers") or ()),
        key=position,
    )


def _boolean(value: Any) -> str:
    return "true" if value else "false"


_TEXTS: Final[Mapping[Kind, Callable[[Any], str]]] = MappingProxyType(
    {
        Kind.STRING: escape,
        Kind.INTEGER: str,
        Kind.LONG: str,
        Kind.BOOLEAN: _boolean,
        Kind.TIMESTAMP: iso_seconds,
    }
)


def _text_of(shape: Shape) -> Callable[[Any], str]:
    # Dates that a client has set (retention, lifecycle) come back as they were set; S3's own have whole seconds.
    return iso_milliseconds if shape.timestamp_format == "iso8601" else _TEXTS[shape.kind]
