"""The S3 service model, compiled: operations, their members, and how each travels.

Read from the file that botocore ships, which is the one the SDKs are generated from, so a new botocore brings
new operations. Only the model lives here: what AWS does beside it (roots of XML documents, lenient enums,
precedence of subresources) is in routing.py, parsing.py and serialization.py.
"""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

XML_NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
XSI_NAMESPACE: Final = "http://www.w3.org/2001/XMLSchema-instance"


class Kind(Enum):
    """The type of a shape."""

    STRING = "string"
    INTEGER = "integer"  # 32 bits
    LONG = "long"  # 64 bits
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    BLOB = "blob"
    STRUCTURE = "structure"
    LIST = "list"
    MAP = "map"


class Location(Enum):
    """Where a member of an input or output travels."""

    URI = "uri"
    QUERY = "querystring"
    HEADER = "header"
    HEADERS = "headers"  # every header with a prefix: user metadata
    BODY = "body"


class PathKind(Enum):
    """What a request path addresses."""

    SERVICE = "service"
    BUCKET = "bucket"
    OBJECT = "object"


# Identity is equality for Shape, Member and Operation: singletons of one loaded model, and keys of caches.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shape:
    """A type. `item` belongs to lists, `members` and `payload` to structures."""

    name: str
    kind: Kind
    enum: frozenset[str] | None = None
    timestamp_format: str | None = None  # "iso8601" or "rfc822" where the model insists on one
    minimum: int | None = None
    maximum: int | None = None
    flattened: bool = False
    item: "Shape | None" = None
    item_name: str = "member"
    members: tuple["Member", ...] = ()
    payload: "Member | None" = None
    xml_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Member:
    """A field of a structure. `wire_name` is the header, query key or element that carries it."""

    name: str
    shape: Shape
    location: Location
    wire_name: str
    required: bool
    flattened: bool
    streaming: bool
    xml_attribute: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecksumTraits:
    """What the model says of an operation's checksums (its httpChecksum trait)."""

    request_required: bool = False
    request_algorithm_member: str | None = None
    validation_mode_member: str | None = None
    response_algorithms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operation:
    """One S3 operation. `query` is the fixed part of its query string: ("list-type", "2") or ("acl", "")."""

    name: str
    method: str
    path_kind: PathKind
    query: tuple[tuple[str, str], ...]
    input: Shape
    output: Shape
    success_status: int
    checksum: ChecksumTraits
    error_codes: tuple[str, ...]
    deprecated: bool

    @property
    def input_payload(self) -> Member | None:
        """The input member that is the whole body, if one is."""
        return self.input.payload

    @property
    def streaming_input(self) -> bool:
        """Whether the request body is object bytes, which are never buffered whole."""
        return self.input.payload is not None and self.input.payload.streaming

    @property
    def streaming_output(self) -> bool:
        """Whether the response body is object bytes, sent beside what serialization renders."""
        return self.output.payload is not None and self.output.payload.streaming


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceModel:
    """Every operation by name, and the statuses of the error shapes that the model declares."""

    operations: Mapping[str, Operation]
    error_statuses: Mapping[str, int]


EMPTY_SHAPE: Final = Shape(name="Empty", kind=Kind.STRUCTURE)


@cache
def load() -> ServiceModel:
    """The compiled model; the first call reads and compiles the file, in some 30 ms.

    Raises FileNotFoundError when botocore is not installed or ships no S3 model.
    """
    document = json.loads(_model_bytes())
    compiler = _Compiler(document["shapes"])
    operations = {name: compiler.operation(name, raw) for name, raw in document["operations"].items()}
    statuses = {
        name: raw["error"]["httpStatusCode"]
        for name, raw in document["shapes"].items()
        if raw.get("exception") and "error" in raw
    }
    return ServiceModel(operations=MappingProxyType(operations), error_statuses=MappingProxyType(statuses))


def _model_bytes() -> bytes:
    # Found without importing botocore, whose import costs more than everything done here.
    spec = find_spec("botocore")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(root) / "data" / "s3" / "2006-03-01"
        packed, plain = folder / "service-2.json.gz", folder / "service-2.json"
        if packed.exists():
            return gzip.decompress(packed.read_bytes())
        if plain.exists():
            return plain.read_bytes()
    raise FileNotFoundError("botocore's S3 service model is not installed")


class _Compiler:
    """Builds shapes once each, from the raw JSON."""

    def __init__(self, raw_shapes: dict[str, Any]) -> None:
        self._raw = raw_shapes
        self._done: dict[str, Shape] = {}

    def operation(self, name: str, raw: dict[str, Any]) -> Operation:
        """Compile one operation."""
        path, _, query = raw["http"]["requestUri"].partition("?")
        return Operation(
            name=name,
            method=raw["http"]["method"],
            path_kind=_path_kind(path),
            query=tuple((key, value) for key, _, value in (part.partition("=") for part in query.split("&")) if key),
            input=self._reference(raw.get("input")),
            output=self._reference(raw.get("output")),
            success_status=raw["http"].get("responseCode", 200),
            checksum=_checksum_traits(raw.get("httpChecksum", {})),
            error_codes=tuple(error["shape"] for error in raw.get("errors", ())),
            deprecated=raw.get("deprecated", False),
        )

    def _reference(self, raw: dict[str, Any] | None) -> Shape:
        return self._shape(raw["shape"]) if raw else EMPTY_SHAPE

    def _shape(self, name: str) -> Shape:
        """Compile one shape. No S3 shape refers to itself, so plain recursion ends."""
        if name in self._done:
            return self._done[name]
        raw = self._raw[name]
        members = self._members(raw)
        item = raw.get("member", {})
        enum = raw.get("enum")
        shape = Shape(
            name=name,
            kind=Kind(raw["type"]),
            enum=frozenset(enum) if enum else None,
            timestamp_format=raw.get("timestampFormat"),
            minimum=raw.get("min"),
            maximum=raw.get("max"),
            flattened=raw.get("flattened", False),
            item=self._shape(item["shape"]) if item else None,
            item_name=item.get("locationName", "member"),
            members=members,
            payload=next((member for member in members if member.name == raw.get("payload")), None),
            xml_name=raw.get("locationName"),
        )
        self._done[name] = shape
        return shape

    def _members(self, raw: dict[str, Any]) -> tuple[Member, ...]:
        required = frozenset(raw.get("required", ()))
        return tuple(
            self._member(name, reference, name in required) for name, reference in raw.get("members", {}).items()
        )

    def _member(self, name: str, reference: dict[str, Any], required: bool) -> Member:
        shape = self._shape(reference["shape"])
        return Member(
            name=name,
            shape=shape,
            location=Location(reference.get("location", "body")),
            wire_name=reference.get("locationName", name),
            required=required,
            flattened=reference.get("flattened", shape.flattened),
            streaming=reference.get("streaming", False) or self._raw[reference["shape"]].get("eventstream", False),
            xml_attribute=reference.get("xmlAttribute", False),
        )


def _path_kind(path: str) -> PathKind:
    if "{Key+}" in path:
        return PathKind.OBJECT
    return PathKind.BUCKET if "{Bucket}" in path else PathKind.SERVICE


def _checksum_traits(raw: dict[str, Any]) -> ChecksumTraits:
    return ChecksumTraits(
        request_required=raw.get("requestChecksumRequired", False),
        request_algorithm_member=raw.get("requestAlgorithmMember"),
        validation_mode_member=raw.get("requestValidationModeMember"),
        response_algorithms=tuple(raw.get("responseAlgorithms", ())),
    )
