"""The compiled model says what botocore's file says."""

import subprocess
import sys
from typing import Any

import pytest

from s3compat import service_model
from s3compat.service_model import Kind, Location, PathKind, load
from tests.s3compat import oracle


def test_every_operation_is_compiled() -> None:
    assert sorted(load().operations) == sorted(oracle.operation_names())
    assert len(load().operations) >= 116


def test_the_model_is_compiled_once() -> None:
    assert load() is load()


@pytest.mark.parametrize("name", oracle.operation_names())
def test_operations_have_the_http_traits_of_the_file(name: str) -> None:
    ours, theirs = load().operations[name], oracle.service().operation_model(name)
    assert ours.method == theirs.http["method"]
    assert ours.success_status == theirs.http.get("responseCode", 200)
    assert ours.deprecated == theirs.deprecated
    assert ours.checksum.request_required == theirs.http_checksum.get("requestChecksumRequired", False)
    assert ours.streaming_input == theirs.has_streaming_input
    assert ours.streaming_output == (theirs.has_streaming_output or theirs.has_event_stream_output)
    assert_same_members(ours.input, theirs.input_shape)
    assert_same_members(ours.output, theirs.output_shape)


def assert_same_members(ours: service_model.Shape, theirs: Any) -> None:
    expected = {} if theirs is None else theirs.members
    assert [member.name for member in ours.members] == list(expected)
    for member in ours.members:
        shape = expected[member.name]
        assert member.shape.kind.value == shape.type_name
        assert member.location.value == shape.serialization.get("location", "body")
        assert member.wire_name == shape.serialization.get("name", member.name)
        assert member.required == (member.name in theirs.required_members)


@pytest.mark.parametrize(
    ("name", "path_kind", "query"),
    [
        ("ListBuckets", PathKind.SERVICE, ()),
        ("ListObjectsV2", PathKind.BUCKET, (("list-type", "2"),)),
        ("GetBucketAcl", PathKind.BUCKET, (("acl", ""),)),
        ("PutObject", PathKind.OBJECT, ()),
        ("SelectObjectContent", PathKind.OBJECT, (("select", ""), ("select-type", "2"))),
        ("WriteGetObjectResponse", PathKind.SERVICE, ()),
    ],
)
def test_paths_and_fixed_queries(name: str, path_kind: PathKind, query: tuple[tuple[str, str], ...]) -> None:
    operation = load().operations[name]
    assert (operation.path_kind, operation.query) == (path_kind, query)


def test_xml_traits_are_resolved() -> None:
    operations = load().operations
    policy = operations["PutBucketAcl"].input_payload
    assert policy is not None
    assert policy.wire_name == "AccessControlPolicy"
    grants = next(member for member in policy.shape.members if member.name == "Grants")
    assert (grants.wire_name, grants.flattened, grants.shape.item_name) == ("AccessControlList", False, "Grant")
    assert grants.shape.item is not None
    grantee = grants.shape.item.members[0].shape
    assert [member.wire_name for member in grantee.members if member.xml_attribute] == ["xsi:type"]
    contents = next(member for member in operations["ListObjectsV2"].output.members if member.name == "Contents")
    assert contents.flattened
    assert contents.location is Location.BODY
    assert contents.shape.kind is Kind.LIST


def test_the_model_loads_without_importing_botocore() -> None:
    program = "import sys; from s3compat.service_model import load; load(); sys.exit('botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_missing_model_is_a_file_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_model, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError):
        service_model._model_bytes()
