"""botocore as the second opinion: example values for any shape, requests as its serializer writes them, and
answers as its parser reads them. Nothing of ours is imported but the request type."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import create_request_object, prepare_request_dict
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from s3compat.request import Headers, S3Request
from s3compat.serialization import RenderedResponse

MOMENT = datetime(2024, 2, 29, 12, 34, 56, tzinfo=UTC)
# No carriage return: botocore's serializer does not escape it. test_serialization.py has it.
AWKWARD_TEXT = " a&b<c>\"d'é\n\t☃ "
INTEGERS = {"Size": 2**40, "ContentLength": 2**40, "ObjectSize": 2**33}


@cache
def service() -> Any:
    """botocore's model of S3."""
    # Not load_service_model, which patches Expires into a timestamp: AWS keeps whatever text it was given.
    return ServiceModel(Loader().load_data("s3/2006-03-01/service-2"), "s3")


def operation_names() -> list[str]:
    """Every operation of the model."""
    return list(service().operation_names)


def example(shape: Any, *, in_header: bool = False) -> Any:
    """A value with every member set, two items in every list."""
    kind = shape.type_name
    if kind == "structure":
        # The deprecated Event is the same element as the list Events.
        names = [name for name in shape.members if not (name == "Event" and "Events" in shape.members)]
        return {name: example_member(name, shape.members[name]) for name in names}
    if kind == "list":
        first = example(shape.member, in_header=in_header)
        return [first, first]
    if kind == "map":
        return {"color": "blue", "longer-name": "x, y"}
    if kind == "string":
        if shape.enum:
            return shape.enum[-1]
        return "plain/text=1" if in_header else AWKWARD_TEXT
    return {"timestamp": MOMENT, "boolean": True, "blob": b"bytes"}.get(kind, 7)


def example_member(name: str, shape: Any) -> Any:
    """A value for one member, minding where it travels and what it means."""
    if shape.type_name in ("integer", "long"):
        return INTEGERS.get(name, 7)
    return example(shape, in_header=shape.serialization.get("location") in ("header", "headers"))


def full_input(name: str) -> dict[str, Any]:
    """An input with every member, addressed to a bucket and a key that need encoding."""
    shape = service().operation_model(name).input_shape
    params: dict[str, Any] = example(shape) if shape is not None else {}
    for member, value in {"Bucket": "my-bucket", "Key": "a//b/../c +%2F☃/", "RequestRoute": "route"}.items():
        if member in params:
            params[member] = value
    return params | {
        member: f"text/{member}" for member in params if member.startswith("Response") and "Exp" not in member
    }


def payload_names(name: str) -> set[str]:
    """Members that are a stream of bytes."""
    operation = service().operation_model(name)
    return {
        shape.serialization["payload"]
        for shape in (operation.input_shape, operation.output_shape)
        if shape is not None
        and "payload" in shape.serialization
        and (
            shape.members[shape.serialization["payload"]].type_name == "blob"
            or getattr(shape.members[shape.serialization["payload"]], "is_eventstream", False)
        )
    }


def request_of(name: str, params: dict[str, Any]) -> tuple[S3Request, bytes]:
    """The request and body that botocore sends for these parameters."""
    serializer = create_serializer("rest-xml", include_validation=False)
    serialized = serializer.serialize_to_request(params, service().operation_model(name))
    prepare_request_dict(serialized, endpoint_url="http://localhost:8000")
    prepared = create_request_object(serialized).prepare()
    url = urlsplit(prepared.url)
    request = build(
        prepared.method,
        url.path.encode(),
        url.query.encode(),
        [(key, _text(value)) for key, value in prepared.headers.items()],
    )
    body = prepared.body or b""
    return request, body.encode() if isinstance(body, str) else body


def build(
    method: str,
    path: bytes,
    query: bytes = b"",
    headers: Iterable[tuple[str, str]] = (),
    *,
    domains: tuple[str, ...] = (),
) -> S3Request:
    """An S3Request without TLS."""
    return S3Request.build(method, path, query, Headers(headers), False, domains)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def parsed_by_botocore(name: str, response: RenderedResponse) -> dict[str, Any]:
    """What botocore makes of an answer."""
    from botocore.awsrequest import HeadersDict

    headers = HeadersDict()
    for key, value in response.headers:
        headers[key] = value
    parsed: dict[str, Any] = create_parser("rest-xml").parse(
        {"status_code": response.status, "headers": headers, "body": response.body},
        service().operation_model(name).output_shape,
    )
    parsed.pop("ResponseMetadata", None)
    return {name: _without_deprecated_event(value) for name, value in parsed.items()}


def _without_deprecated_event(value: Any) -> Any:
    if isinstance(value, dict) and "Events" in value:
        return {name: child for name, child in value.items() if name != "Event"}
    return value
