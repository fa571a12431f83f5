"""From what a request says about access to the owner and the ACL that are stored, for buckets and for objects.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html
"""

from dataclasses import dataclass

from gateway.bucket_access import Ownership, acls_disabled, object_acl, object_owner, ownership, public_access_block
from gateway.context import Context, Input, Output
from gateway.credentials import CredentialStore
from gateway.index.records import BucketRecord, ObjectRecord
from gateway.refusals import Decider, Reason, Refused
from s3compat import acl
from s3compat.acl import ANONYMOUS_ID, GranteeKind, Grants
from s3compat.errors import S3Error


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenAccess:
    """Who will own an object that is being written, and its ACL in stored form."""

    owner_id: str
    acl: str


async def access_of_write(context: Context) -> WrittenAccess:
    """Owner and ACL of the object that a request writes, by its headers and the bucket's ownership.

    Raises AccessControlListNotSupported, AccessDenied (BlockPublicAcls), InvalidArgument, InvalidRequest,
    UnresolvableGrantByEmailAddress.
    """
    bucket = context.target_bucket
    headers = context.request.headers
    if not acl.has_acl_headers(headers):
        return WrittenAccess(owner_id=bucket.owner_id if acls_disabled(bucket) else _writer(context), acl="")
    if acls_disabled(bucket):
        await _require_bucket_owner_full_control(context)
        return WrittenAccess(owner_id=bucket.owner_id, acl="")
    owner_id = _writer(context)
    to_bucket_owner = headers.get(acl.CANNED_HEADER) == acl.BUCKET_OWNER_FULL_CONTROL
    if to_bucket_owner and ownership(bucket) is Ownership.BUCKET_OWNER_PREFERRED:
        owner_id = bucket.owner_id
    grants = await grants_of_headers(context, owner_id=owner_id, bucket_owner_id=bucket.owner_id)
    refuse_public(bucket, grants)
    return WrittenAccess(owner_id=owner_id, acl=acl.encode_grants(grants, owner_id))


def _writer(context: Context) -> str:
    return context.identity.canonical_id


async def _require_bucket_owner_full_control(context: Context) -> None:
    """The one ACL that may be given where ACLs are disabled, canned or as a grant: it says what holds anyway."""
    bucket = context.target_bucket
    if context.request.headers.get(acl.CANNED_HEADER) == acl.BUCKET_OWNER_FULL_CONTROL:
        return
    grants = acl.grants_from_headers(context.request.headers)
    if grants is None or await resolved(context.services.credentials, grants) != acl.private(bucket.owner_id):
        raise S3Error("AccessControlListNotSupported")


async def grants_of_headers(context: Context, *, owner_id: str, bucket_owner_id: str) -> Grants:
    """The grants that x-amz-acl or x-amz-grant-* stand for.

    Raises InvalidArgument, InvalidRequest, UnresolvableGrantByEmailAddress.
    """
    headers = context.request.headers
    given = acl.grants_from_headers(headers)
    if given is None:
        name = headers.get(acl.CANNED_HEADER) or ""
        return acl.canned(name, owner_id=owner_id, bucket_owner_id=bucket_owner_id)
    return await resolved(context.services.credentials, given)


async def grants_of_request(context: Context, params: Input, *, owner_id: str, bucket_owner_id: str) -> Grants:
    """The ACL that PutBucketAcl or PutObjectAcl sets: from one of headers and document.

    Raises MissingSecurityHeader (neither), UnexpectedContent (both), MalformedACLError, AccessDenied, and what
    `grants_of_headers` raises.
    """
    document: Input | None = params.get("AccessControlPolicy")
    if acl.has_acl_headers(context.request.headers):
        if document is not None:
            raise S3Error("UnexpectedContent")
        return await grants_of_headers(context, owner_id=owner_id, bucket_owner_id=bucket_owner_id)
    if document is None:
        raise S3Error("MissingSecurityHeader", MissingHeaderName=acl.CANNED_HEADER)
    given = acl.grants_from_document(document, owner_id=owner_id)
    return await resolved(context.services.credentials, given)


async def resolved(credentials: CredentialStore, grants: Grants) -> Grants:
    """The grants with known users only; raises UnresolvableGrantByEmailAddress, InvalidArgument."""
    ids = {}
    for email in acl.emails(grants):
        found = await credentials.find_by_email(email)
        if found is not None:
            ids[email] = found.canonical_id
    with_ids = acl.resolve(grants, ids)
    for canonical_id in acl.user_ids(grants):
        # A grant to the anonymous user would be public without counting as public.
        if canonical_id == ANONYMOUS_ID or await credentials.find_by_id(canonical_id) is None:
            raise S3Error(
                "InvalidArgument", "Invalid id", ArgumentName="CanonicalUser/ID", ArgumentValue=canonical_id[:1024]
            )
    return with_ids


def refuse_public(bucket: BucketRecord, grants: Grants) -> None:
    """Raise AccessDenied for a public ACL where the bucket blocks those."""
    if public_access_block(bucket).block_public_acls and acl.is_public(grants):
        text = f"the ACL would be public, and bucket {bucket.name} has BlockPublicAcls"
        raise Refused(Reason(decider=Decider.PUBLIC_ACCESS_BLOCK, text=text))


async def described_acl(context: Context, owner_id: str, grants: Grants) -> Output:
    """An ACL under AWS's member names."""
    entries = []
    # The order means nothing; clients have come to expect the groups first.
    for grant in sorted(grants, key=lambda grant: grant.grantee.kind is not GranteeKind.GROUP):
        grantee = grant.grantee
        if grantee.kind is GranteeKind.GROUP:
            entry: Output = {"Type": grantee.kind.value, "URI": grantee.name}
        else:
            entry = {"Type": grantee.kind.value, **await user_member(context, grantee.name)}
        entries.append({"Grantee": entry, "Permission": grant.permission.value})
    return {"Owner": await user_member(context, owner_id), "Grants": entries}


async def user_member(context: Context, canonical_id: str) -> Output:
    """A user as documents show it; the name is left out for who is not, or no longer, known."""
    member: Output = {"ID": canonical_id}
    if canonical_id != ANONYMOUS_ID:
        found = await context.services.credentials.find_by_id(canonical_id)
        if found is not None:
            member["DisplayName"] = found.display_name
    return member


async def described_object_acl(context: Context, record: ObjectRecord) -> Output:
    """The ACL of an object of the target bucket."""
    bucket = context.target_bucket
    return await described_acl(context, object_owner(bucket, record), object_acl(bucket, record))
