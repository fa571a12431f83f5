"""XML request bodies -> dicts under AWS's member names, by the shapes of the service model.

AWS validates these documents against a schema, and so does this reader: an unknown or repeated element, a
missing required one, text between elements and an unknown value of an enum are all MalformedXML. To ignore what
is not understood would be worse: a misspelt <VersionId> in a Delete would delete another version. Namespaces
are not compared, since many clients send none.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from xml.etree.ElementTree import Element

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from s3compat.errors import S3Error
from s3compat.scalars import read_boolean, read_integer, read_timestamp
from s3compat.service_model import Kind, Location, Member, Shape

# Clients echo whole entries of ListParts (Size, LastModified) when they complete an upload.
_TOLERANT_SHAPES: Final = frozenset({"CompletedPart"})

# Enums that AWS extends without notice, or whose unknown values have errors that only a handler can word.
LENIENT_ENUMS: Final = frozenset({"BucketLocationConstraint", "ChecksumAlgorithm"})

# Tags and attributes, not bytes, are what a tree costs: 10 MiB of `<a/>` take 6 s and 260 MiB. The largest honest
# document is 10,000 parts with every checksum there is: 280,000 tags, and 200,000 '=' of base64.
_MAX_MARKS: Final = 300_000

_NUMERIC_BOOLEANS: Final = {"1": True, "0": False}


class _Fields(NamedTuple):
    """What may stand in the element of one structure."""

    elements: Mapping[str, Member]
    attributes: Mapping[str, Member]
    required: tuple[str, ...]
    tolerant: bool


def read_document(body: bytes, shape: Shape, root_name: str, malformed_code: str) -> dict[str, Any]:
    """The members of a document whose root element has this name and structure.

    Raises S3Error with `malformed_code`, or with the code that AWS has for a certain enum.
    """
    if body.count(b"<") > _MAX_MARKS or body.count(b"=") > _MAX_MARKS:
        raise S3Error(malformed_code)
    try:
        root = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        # ValueError and LookupError: encodings that expat does not know.
        raise S3Error(malformed_code) from error
    try:
        if _local(root.tag) != root_name:
            raise _Malformed(f"root {root.tag}")
        return _structure(root, shape)
    except _Malformed as error:
        raise S3Error(malformed_code) from error


class _Malformed(Exception):
    """The document does not follow its schema."""


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _structure(element: Element, shape: Shape) -> dict[str, Any]:
    fields = _fields(shape)
    _refuse_text(element.text)
    result: dict[str, Any] = {}
    for name, text in element.attrib.items():
        attribute = fields.attributes.get(_local(name))
        if attribute is not None:
            result[attribute.name] = _text_value(text, attribute.shape)
    for child in element:
        _refuse_text(child.tail)
        member = fields.elements.get(_local(child.tag))
        if member is not None:
            _add(result, member, child)
        elif not fields.tolerant:
            raise _Malformed(f"unknown element {child.tag}")
    for name in fields.required:
        if name not in result:
            raise _Malformed(f"no {name}")
    return result


def _add(result: dict[str, Any], member: Member, child: Element) -> None:
    item = member.shape.item
    if item is not None and member.flattened:
        result.setdefault(member.name, []).append(_value(child, item))
    elif member.name in result:
        raise _Malformed(f"repeated element {child.tag}")
    else:
        result[member.name] = _value(child, member.shape)


def _value(element: Element, shape: Shape) -> Any:
    if shape.kind is Kind.STRUCTURE:
        return _structure(element, shape)
    if shape.item is not None:
        return _list(element, shape, shape.item)
    if len(element):
        raise _Malformed(f"elements within {element.tag}")
    return _text_value(element.text or "", shape)


def _list(element: Element, shape: Shape, item: Shape) -> list[Any]:
    _refuse_text(element.text)
    values = []
    for child in element:
        _refuse_text(child.tail)
        if _local(child.tag) != shape.item_name:
            raise _Malformed(f"unknown element {child.tag}")
        values.append(_value(child, item))
    return values


def _refuse_text(text: str | None) -> None:
    if text and not text.isspace():
        raise _Malformed("text between elements")


def _text_value(text: str, shape: Shape) -> Any:
    reader = _READERS.get(shape.kind)
    if reader is not None:
        value = reader(text.strip(), shape)
        if value is None:
            raise _Malformed(f"no {shape.kind.value}: {text[:100]}")
        return value
    if shape.enum is None or shape.name in LENIENT_ENUMS:
        return text
    value = text.strip()
    if value not in shape.enum:
        _refuse_enum(value, shape)
    return value


def _refuse_enum(value: str, shape: Shape) -> None:
    """Raise the error of an unknown enum value; return for the values that AWS takes beside its own model."""
    if shape.name == "FilterRuleName":
        if value.lower() not in ("prefix", "suffix"):
            raise S3Error(
                "InvalidArgument",
                "filter rule name must be either prefix or suffix",
                ArgumentName="FilterRule.Name",
                ArgumentValue=value,
            )
        return
    if shape.name == "Event":
        raise S3Error(
            "InvalidArgument",
            "The event is not supported for notifications",
            ArgumentName="Event",
            ArgumentValue=value,
        )
    if shape.name == "Protocol":
        raise S3Error(
            "InvalidRequest",
            "Invalid protocol, protocol can be http or https. If not defined the protocol will be selected "
            "automatically.",
        )
    raise _Malformed(f"no {shape.name}: {value[:100]}")


def _read_integer(text: str, shape: Shape) -> int | None:
    return read_integer(text, shape.kind)


def _read_boolean(text: str, shape: Shape) -> bool | None:
    value = read_boolean(text)
    return _NUMERIC_BOOLEANS.get(text) if value is None else value


def _read_timestamp(text: str, shape: Shape) -> datetime | None:
    return read_timestamp(text)


_READERS: Final[Mapping[Kind, Callable[[str, Shape], Any]]] = MappingProxyType(
    {
        Kind.INTEGER: _read_integer,
        Kind.LONG: _read_integer,
        Kind.BOOLEAN: _read_boolean,
        Kind.TIMESTAMP: _read_timestamp,
    }
)


@cache
def _fields(shape: Shape) -> _Fields:
    members = [member for member in shape.members if member.location is Location.BODY]
    # Notifications have a deprecated scalar and its list under the same name <Event>: the list takes all.
    by_claim = sorted(members, key=lambda member: member.flattened)
    return _Fields(
        elements={member.wire_name: member for member in by_claim if not member.xml_attribute},
        # xsi:type stands in the model with its usual prefix; in a parsed document the prefix is resolved.
        attributes={member.wire_name.rpartition(":")[2]: member for member in members if member.xml_attribute},
        required=tuple(member.name for member in members if member.required),
        tolerant=shape.name in _TOLERANT_SHAPES,
    )
