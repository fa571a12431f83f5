"""The heart of the suite: for every operation of the service model, what botocore writes is what we read, and
what we write is what botocore reads."""

from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3compat.parsing import needs_xml_body, parse_input
from s3compat.routing import find_operation
from s3compat.serialization import render
from s3compat.service_model import load
from tests.s3compat import oracle

SUCCESSORS = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
}
"""Deprecated names of the same requests, which nothing on the wire tells apart."""


def expected_input(name: str, params: dict[str, Any]) -> dict[str, Any]:
    streams = oracle.payload_names(name)
    return {member: value for member, value in params.items() if member not in streams}


def assert_input_survives(name: str, params: dict[str, Any]) -> None:
    request, body = oracle.request_of(name, params)
    found = find_operation(request)
    assert found.name == SUCCESSORS.get(name, name)
    operation = load().operations[name]
    parsed = parse_input(operation, request, body if needs_xml_body(operation) else None)
    # botocore itself sets these two on what it sends.
    expected = expected_input(name, params)
    ours = {
        key: value for key, value in parsed.items() if key in expected or key not in ("ContentLength", "ContentType")
    }
    assert ours == expected


def assert_output_survives(name: str, output: dict[str, Any]) -> None:
    response = render(load().operations[name], output)
    if name == "GetBucketLocation":
        root = ElementTree.fromstring(response.body)
        assert (root.text or None) == output.get("LocationConstraint")
        return
    parsed = oracle.parsed_by_botocore(name, response)
    streams = oracle.payload_names(name)
    # botocore gives an empty Metadata where no header carries any.
    left_out = {*streams, *(name for name in ("Metadata",) if not (parsed.get(name) or output.get(name)))}
    assert {key: value for key, value in parsed.items() if key not in left_out} == {
        key: value for key, value in output.items() if key not in left_out
    }


@pytest.mark.parametrize("name", oracle.operation_names())
def test_every_full_input_that_botocore_writes_is_routed_and_read_back(name: str) -> None:
    assert_input_survives(name, oracle.full_input(name))


@pytest.mark.parametrize("name", oracle.operation_names())
def test_every_minimal_input_that_botocore_writes_is_routed_and_read_back(name: str) -> None:
    shape = oracle.service().operation_model(name).input_shape
    params = oracle.full_input(name)
    required = set(shape.required_members) if shape is not None else set()
    if name == "ListDirectoryBuckets":
        required = {"MaxDirectoryBuckets"}
    if needs_xml_body(load().operations[name]) and "payload" in shape.serialization:
        required.add(shape.serialization["payload"])
    assert_input_survives(name, {member: value for member, value in params.items() if member in required})


@pytest.mark.parametrize("name", oracle.operation_names())
def test_every_full_output_is_read_by_botocore(name: str) -> None:
    shape = oracle.service().operation_model(name).output_shape
    if name == "SelectObjectContent":
        assert render(load().operations[name], {"Payload": object()}).body == b""
    else:
        assert_output_survives(name, oracle.example(shape) if shape is not None else {})


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_subset_of_an_output_is_read_by_botocore(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([name for name in oracle.operation_names() if name != "SelectObjectContent"]))
    shape = oracle.service().operation_model(name).output_shape
    full = oracle.example(shape) if shape is not None else {}
    kept = data.draw(st.sets(st.sampled_from(sorted(full)))) if full else set()
    payload = shape.serialization.get("payload") if shape is not None else None
    # An absent payload renders as its empty document, which botocore reads as an empty structure.
    if payload is not None:
        kept.add(payload)
    assert_output_survives(name, {key: full[key] for key in full if key in kept})


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_subset_of_an_input_is_routed_and_read_back(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(oracle.operation_names()))
    shape = oracle.service().operation_model(name).input_shape
    full = oracle.full_input(name)
    kept = data.draw(st.sets(st.sampled_from(sorted(full)))) if full else set()
    kept |= set(shape.required_members) if shape is not None else set()
    if name == "ListDirectoryBuckets":
        kept.add("MaxDirectoryBuckets")
    if shape is not None and "payload" in shape.serialization:
        kept.add(shape.serialization["payload"])
    assert_input_survives(name, {key: full[key] for key in full if key in kept})
