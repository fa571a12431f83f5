"""Puts a refusal by policies, ACLs, blocks or ownership into a reason. Asked only after something was refused."""

from gateway.bucket_access import acls_disabled, bucket_acl, object_acl, object_owner, public_access_block
from gateway.condition_values import Sender, Subject
from gateway.credentials import Identity
from gateway.index.records import BucketRecord
from gateway.operation_actions import Need, Scope
from gateway.policy_verdicts import Verdict, action_of, resource_of
from gateway.refusals import Decider, Reason
from s3compat import acl
from s3compat.acl import Grants, Permission
from s3compat.policy import Decision, Outcome


def reason_of(need: Need, subject: Subject, sender: Sender, verdict: Verdict) -> Reason:
    """Why `AccessCheck.may` said no, given what the policies had said."""
    identity, bucket = sender.identity, subject.bucket
    if verdict.identity is not None and verdict.identity.outcome is Outcome.DENY:
        return _denied(
            Decider.IDENTITY_POLICY, f"the identity policy of {identity.name}", verdict.identity, need, subject
        )
    if verdict.bucket.outcome is Outcome.DENY:
        return _denied(Decider.BUCKET_POLICY, f"the policy of bucket {bucket.name}", verdict.bucket, need, subject)
    if verdict.identity_forbids:
        return _of_need(
            need,
            subject,
            Decider.IDENTITY_POLICY,
            f"no statement of the identity policy of {identity.name} allows it",
            hints=("A user who has an identity policy may do nothing but what that allows, in its own buckets too.",),
        )
    if verdict.restricted:
        return _of_need(
            need,
            subject,
            Decider.PUBLIC_ACCESS_BLOCK,
            f"RestrictPublicBuckets keeps bucket {bucket.name}, whose policy is public, to its owner",
            decision=verdict.bucket,
        )
    return _nothing_allows(need, subject, identity, verdict)


def missing_key(subject: Subject, of_listing: Reason) -> Reason:
    """Why a request for what is not there is refused, and not answered NoSuchKey."""
    return Reason(
        decider=Decider.MISSING_KEY,
        text=f"there is no such key in bucket {subject.bucket.name}, and who may not list it is not told so: "
        + of_listing.text,
        action=of_listing.action,
        resource=of_listing.resource,
        statement=of_listing.statement,
        sid=of_listing.sid,
    )


def expected_owner(bucket: BucketRecord, expected: str, header: str) -> Reason:
    """Why a request that names another owner is refused."""
    return Reason(
        decider=Decider.EXPECTED_OWNER,
        text=f"{header} names {expected[:200]}, and bucket {bucket.name} belongs to {bucket.owner_id}",
    )


def requester_must_pay(bucket: BucketRecord, identity: Identity) -> Reason:
    """Why a request that does not say who pays is refused."""
    said = "nobody who is anonymous can" if identity.is_anonymous else "x-amz-request-payer: requester is missing"
    return Reason(decider=Decider.REQUESTER_PAYS, text=f"requesters pay in bucket {bucket.name}: {said}")


def _denied(decider: Decider, whose: str, decision: Decision, need: Need, subject: Subject) -> Reason:
    return _of_need(need, subject, decider, f"a statement of {whose} denies it", decision=decision)


def _of_need(
    need: Need,
    subject: Subject,
    decider: Decider,
    text: str,
    *,
    decision: Decision | None = None,
    hints: tuple[str, ...] = (),
) -> Reason:
    statement = decision.statement if decision is not None else None
    return Reason(
        decider=decider,
        text=text,
        action=action_of(need),
        resource=resource_of(need, subject),
        statement=decision.index + 1 if decision is not None and statement is not None else 0,
        sid=statement.sid if statement is not None else "",
        hints=hints,
    )


def _nothing_allows(need: Need, subject: Subject, identity: Identity, verdict: Verdict) -> Reason:
    """No policy speaks against it: then an ACL does not count, the object is another's, or nobody granted it."""
    bucket, record = subject.bucket, subject.record
    uncounted = _uncounted_grant(need, subject, identity)
    if uncounted is not None:
        return uncounted
    if need.scope is Scope.OBJECT and record is not None and need.acl is not None:
        owner_id = object_owner(bucket, record)
        if owner_id != bucket.owner_id and (verdict.bucket_allows or identity.canonical_id == bucket.owner_id):
            return _of_need(
                need,
                subject,
                Decider.OWNERSHIP,
                f"the object belongs to {owner_id}, who is not the bucket's owner: only its ACL can allow it",
                hints=("With BucketOwnerEnforced the bucket's owner owns every object in it.",),
            )
    return _of_need(need, subject, Decider.MISSING_PERMISSION, _what_was_looked_at(need, subject, identity))


def _what_was_looked_at(need: Need, subject: Subject, identity: Identity) -> str:
    bucket = subject.bucket
    who = "the anonymous sender" if identity.is_anonymous else identity.name
    looked = [f"{who} does not own it"]
    looked.append(
        f"no statement of the policy of bucket {bucket.name} allows it"
        if "policy" in bucket.configs
        else f"bucket {bucket.name} has no policy"
    )
    if need.acl is None:
        looked.append("no ACL can grant it")
    elif acls_disabled(bucket):
        looked.append("the bucket has no ACLs (BucketOwnerEnforced)")
    else:
        looked.append(f"no ACL grants {need.acl.value}")
    return ", ".join(looked)


def _uncounted_grant(need: Need, subject: Subject, identity: Identity) -> Reason | None:
    """An ACL that would grant it, were it not switched off."""
    bucket = subject.bucket
    if need.acl is None:
        return None
    if acls_disabled(bucket):
        if _grants(_stored_grants(need, subject), identity, need.acl):
            text = (
                f"an ACL grants {need.acl.value}, and ACLs do not count in bucket {bucket.name} (BucketOwnerEnforced)"
            )
            return _of_need(need, subject, Decider.OWNERSHIP, text)
        return None
    record = subject.record
    counting = object_acl(bucket, record) if need.scope is Scope.OBJECT and record is not None else bucket_acl(bucket)
    if public_access_block(bucket).ignore_public_acls and _grants(counting, identity, need.acl):
        text = f"an ACL grants {need.acl.value} to everybody, and bucket {bucket.name} has IgnorePublicAcls"
        return _of_need(need, subject, Decider.PUBLIC_ACCESS_BLOCK, text)
    return None


def _stored_grants(need: Need, subject: Subject) -> Grants:
    bucket, record = subject.bucket, subject.record
    if need.scope is Scope.OBJECT and record is not None:
        return acl.decode_grants(record.acl, record.owner_id)
    return acl.decode_grants(bucket.configs.get("acl", b"").decode(), bucket.owner_id)


def _grants(grants: Grants, identity: Identity, permission: Permission) -> bool:
    return acl.grants_permission(grants, identity.canonical_id, permission, ignore_public=False)
