"""Access control lists: what requests say, what is stored, what is granted."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3compat import acl
from s3compat.acl import ALL_USERS, ANONYMOUS_ID, AUTHENTICATED_USERS, LOG_DELIVERY, Grant, Grants, Permission
from s3compat.errors import S3Error
from s3compat.request import Headers

OWNER, OTHER, THIRD = "a" * 64, "b" * 64, "c" * 64


def headers(**given: str) -> Headers:
    return Headers.from_raw([(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()])


def to_user(name: str, permission: Permission) -> Grant:
    return Grant(grantee=acl.user(name), permission=permission)


def to_group(uri: str, permission: Permission) -> Grant:
    return Grant(grantee=acl.group(uri), permission=permission)


OWNS = to_user(OWNER, Permission.FULL_CONTROL)


@pytest.mark.parametrize(
    ("name", "bucket_owner", "beside_the_owner"),
    [
        ("private", OWNER, set()),
        ("public-read", OWNER, {to_group(ALL_USERS, Permission.READ)}),
        (
            "public-read-write",
            OWNER,
            {to_group(ALL_USERS, Permission.READ), to_group(ALL_USERS, Permission.WRITE)},
        ),
        ("authenticated-read", OWNER, {to_group(AUTHENTICATED_USERS, Permission.READ)}),
        (
            "log-delivery-write",
            OWNER,
            {to_group(LOG_DELIVERY, Permission.WRITE), to_group(LOG_DELIVERY, Permission.READ_ACP)},
        ),
        ("bucket-owner-read", OTHER, {to_user(OTHER, Permission.READ)}),
        ("bucket-owner-read", OWNER, set()),
        ("bucket-owner-full-control", OTHER, {to_user(OTHER, Permission.FULL_CONTROL)}),
        ("bucket-owner-full-control", OWNER, set()),
    ],
)
def test_canned_acl_stands_for_grants(name: str, bucket_owner: str, beside_the_owner: set[Grant]) -> None:
    grants = acl.canned(name, owner_id=OWNER, bucket_owner_id=bucket_owner)
    assert set(grants) == {OWNS} | beside_the_owner


def test_unknown_canned_acl_is_refused() -> None:
    with pytest.raises(S3Error) as refused:
        acl.canned("public-write", owner_id=OWNER, bucket_owner_id=OWNER)
    assert refused.value.code == "InvalidArgument"


def test_grant_headers_name_users_groups_and_addresses() -> None:
    grants = acl.grants_from_headers(
        headers(
            x_amz_grant_read=f'id="{OTHER}", uri="{ALL_USERS}"',
            x_amz_grant_full_control=f'emailAddress="paula@example.com",id={THIRD}',
        )
    )
    assert grants is not None
    assert acl.emails(grants) == ("paula@example.com",)
    resolved = acl.resolve(grants, {"paula@example.com": OWNER})
    assert set(resolved) == {
        OWNS,
        to_user(THIRD, Permission.FULL_CONTROL),
        to_user(OTHER, Permission.READ),
        to_group(ALL_USERS, Permission.READ),
    }


@pytest.mark.parametrize(
    ("given_headers", "code"),
    [
        ({"x_amz_grant_read": ""}, "InvalidArgument"),
        ({"x_amz_grant_read": "somebody"}, "InvalidArgument"),
        ({"x_amz_grant_read": "name=paula"}, "InvalidArgument"),
        ({"x_amz_grant_read": 'id=""'}, "InvalidArgument"),
        ({"x_amz_grant_read": "id=a,"}, "InvalidArgument"),
        ({"x_amz_grant_read": 'id="a" b'}, "InvalidArgument"),
        ({"x_amz_grant_write": 'uri="http://acs.amazonaws.com/groups/global/Nobody"'}, "InvalidArgument"),
        ({"x_amz_grant_read": "id=a", "x_amz_acl": "private"}, "InvalidRequest"),
        ({"x_amz_grant_read": ",".join(f"id={number}" for number in range(101))}, "MalformedACLError"),
    ],
)
def test_malformed_grant_headers_have_their_errors(given_headers: dict[str, str], code: str) -> None:
    with pytest.raises(S3Error) as refused:
        acl.grants_from_headers(headers(**given_headers))
    assert refused.value.code == code


def document(*grants: dict[str, Any], owner: str = OWNER) -> dict[str, Any]:
    return {"Owner": {"ID": owner}, "Grants": list(grants)}


def test_document_names_grantees_with_and_without_type() -> None:
    grants = acl.grants_from_document(
        document(
            {"Grantee": {"Type": "CanonicalUser", "ID": OWNER, "DisplayName": "x"}, "Permission": "FULL_CONTROL"},
            {"Grantee": {"URI": LOG_DELIVERY}, "Permission": "WRITE"},
            {"Grantee": {"Type": "AmazonCustomerByEmail", "EmailAddress": "a@b"}, "Permission": "READ_ACP"},
        ),
        owner_id=OWNER,
    )
    assert grants[:2] == (OWNS, to_group(LOG_DELIVERY, Permission.WRITE))
    assert acl.resolve(grants, {"a@b": OTHER})[2] == to_user(OTHER, Permission.READ_ACP)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "MalformedACLError"),
        ({"Owner": {"ID": OWNER}}, "MalformedACLError"),
        ({"Grants": []}, "MalformedACLError"),
        ({"Owner": {"DisplayName": "me"}, "Grants": []}, "MalformedACLError"),
        (document(owner=OTHER), "AccessDenied"),
        (document({"Permission": "READ"}), "MalformedACLError"),
        (document({"Grantee": {"ID": OTHER}}), "MalformedACLError"),
        (document({"Grantee": {"ID": OTHER}, "Permission": "EXECUTE"}), "MalformedACLError"),
        (document({"Grantee": {"Type": "Group", "ID": OTHER}, "Permission": "READ"}), "MalformedACLError"),
        (document({"Grantee": {"URI": "http://else"}, "Permission": "READ"}), "InvalidArgument"),
        (document({"Grantee": {"ID": "two words"}, "Permission": "READ"}), "InvalidArgument"),
        (document(*[{"Grantee": {"ID": str(n)}, "Permission": "READ"} for n in range(101)]), "MalformedACLError"),
    ],
)
def test_malformed_documents_have_their_errors(body: dict[str, Any], code: str) -> None:
    with pytest.raises(S3Error) as refused:
        acl.grants_from_document(body, owner_id=OWNER)
    assert refused.value.code == code


def test_unknown_address_is_refused() -> None:
    grants = acl.grants_from_headers(headers(x_amz_grant_read="emailAddress=nobody@example.com"))
    assert grants is not None
    with pytest.raises(S3Error) as refused:
        acl.resolve(grants, {})
    assert refused.value.code == "UnresolvableGrantByEmailAddress"


READ, WRITE, READ_ACP, WRITE_ACP = Permission.READ, Permission.WRITE, Permission.READ_ACP, Permission.WRITE_ACP


@pytest.mark.parametrize(
    ("grants", "requester", "permission", "granted"),
    [
        ((OWNS,), OWNER, READ, True),
        ((OWNS,), OWNER, WRITE_ACP, True),
        ((OWNS,), OTHER, READ, False),
        ((OWNS,), ANONYMOUS_ID, READ, False),
        ((), OWNER, READ, False),
        ((to_user(OTHER, READ),), OTHER, READ, True),
        ((to_user(OTHER, READ),), OTHER, WRITE, False),
        ((to_user(OTHER, READ),), OTHER, READ_ACP, False),
        ((to_user(OTHER, WRITE_ACP),), OTHER, READ_ACP, False),
        ((to_group(ALL_USERS, READ),), OTHER, READ, True),
        ((to_group(ALL_USERS, READ),), ANONYMOUS_ID, READ, True),
        ((to_group(ALL_USERS, READ),), ANONYMOUS_ID, WRITE, False),
        ((to_group(AUTHENTICATED_USERS, READ),), OTHER, READ, True),
        ((to_group(AUTHENTICATED_USERS, READ),), ANONYMOUS_ID, READ, False),
        ((to_group(LOG_DELIVERY, WRITE),), OTHER, WRITE, False),
        ((to_group(LOG_DELIVERY, WRITE),), ANONYMOUS_ID, WRITE, False),
        ((to_group(ALL_USERS, Permission.FULL_CONTROL),), ANONYMOUS_ID, WRITE_ACP, True),
    ],
)
def test_grants_are_what_they_say(grants: Grants, requester: str, permission: Permission, granted: bool) -> None:
    assert acl.grants_permission(grants, requester, permission) is granted


def test_ignored_public_grants_grant_nothing_to_anybody() -> None:
    grants = (to_group(ALL_USERS, READ), to_group(AUTHENTICATED_USERS, READ), to_user(OTHER, READ))
    assert acl.is_public(grants)
    assert not acl.grants_permission(grants, THIRD, READ, ignore_public=True)
    assert not acl.grants_permission(grants, ANONYMOUS_ID, READ, ignore_public=True)
    assert not acl.grants_permission(acl.private(ANONYMOUS_ID), ANONYMOUS_ID, READ, ignore_public=True)
    assert acl.grants_permission(grants, OTHER, READ, ignore_public=True)


GRANTEES = st.one_of(
    st.sampled_from(sorted(acl.GROUPS)).map(acl.group),
    st.from_regex(r"[A-Za-z0-9+=,.@_-]{1,64}", fullmatch=True).map(acl.user),
)
GRANTS = st.lists(st.builds(Grant, grantee=GRANTEES, permission=st.sampled_from(Permission)), max_size=8)


@given(GRANTS)
def test_stored_grants_are_read_back(grants: list[Grant]) -> None:
    assert acl.decode_grants(acl.encode_grants(tuple(grants), OWNER), OWNER) == tuple(grants)


def test_an_owners_private_acl_takes_no_room() -> None:
    assert acl.encode_grants(acl.private(OWNER), OWNER) == ""
    assert acl.encode_grants((), OWNER) == "-"
    with pytest.raises(ValueError, match="not a stored grant"):
        acl.decode_grants("X", OWNER)


@given(st.text(max_size=60))
def test_no_header_raises_anything_but_an_s3_error(text: str) -> None:
    with contextlib.suppress(S3Error):
        acl.grants_from_headers(Headers.from_raw([(b"x-amz-grant-read", text.encode("utf-8", "replace"))]))


MEMBERS = st.one_of(st.none(), st.text(max_size=8), st.just(OWNER), st.sampled_from(["READ", "Group", ALL_USERS]))
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "Grantee": st.dictionaries(st.sampled_from(["ID", "URI", "EmailAddress", "Type"]), MEMBERS),
        "Permission": MEMBERS,
    },
)


@given(st.fixed_dictionaries({}, optional={"Owner": st.just({"ID": OWNER}), "Grants": st.lists(ENTRIES)}))
def test_no_document_raises_anything_but_an_s3_error(body: dict[str, Any]) -> None:
    with contextlib.suppress(S3Error):
        acl.grants_from_document(body, owner_id=OWNER)
