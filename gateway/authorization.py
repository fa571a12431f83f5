"""Who may do what: one decision for every action, in the order of AWS's evaluation logic.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/how-s3-evaluates-access-control.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html

An explicit deny of the bucket policy wins over everything, for the bucket's owner and for root too; what remains to
those two then is to read, replace and remove the policy. After that an action is allowed to root, to the owner, to whom
the policy allows it and to whom an ACL grants it. Anonymous requests are decided as all others. What nothing allows is
denied, and so is an operation that has no entry in the table of actions.
"""

from dataclasses import dataclass, replace

from gateway.bucket_access import (
    bucket_acl,
    bucket_policy,
    object_acl,
    object_owner,
    policy_is_public,
    public_access_block,
    requester_pays,
)
from gateway.condition_values import ConditionValues, Sender, Subject, principals_of
from gateway.credentials import Identity
from gateway.index.errors import NoSuchUpload
from gateway.index.records import BucketRecord, ObjectRecord
from gateway.index.store import Index
from gateway.operation_actions import (
    BYPASS_GOVERNANCE,
    BYPASS_HEADER,
    DELETE_OBJECT,
    GET_OBJECT,
    GET_OBJECT_TAGGING,
    LIST_BUCKET,
    OF_OBJECTS,
    PUT_WITH_TAGS,
    Need,
    Scope,
    needs_of,
)
from s3compat import acl
from s3compat.acl import Permission
from s3compat.errors import S3Error
from s3compat.policy import RESOURCE_PREFIX, Outcome, RequestContext, evaluate
from s3compat.request import S3Request
from s3compat.tags import Tags

#: What an explicit deny cannot take from the owner of a bucket: the way out of it.
_ALWAYS_THE_OWNERS = frozenset({"GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was read to decide a request: the object's version that it names, or None where there is none."""

    version_id: str | None
    record: ObjectRecord | None


class AccessCheck:
    """Decides for the sender of one request; handlers ask it about what the pipeline cannot know beforehand."""

    def __init__(self, sender: Sender, *, tags: Tags | None = None) -> None:
        self._sender = sender
        self._identity = sender.identity
        self._principals = principals_of(sender.identity)
        self._tags = tags

    @property
    def identity(self) -> Identity:
        """Who asks."""
        return self._identity

    @property
    def request(self) -> S3Request:
        """What is asked for."""
        return self._sender.request

    def may(self, need: Need, subject: Subject) -> bool:
        """Whether one action is allowed. An object that is not there is the business of `may_learn_absence`."""
        bucket = subject.bucket
        outcome = self._policy_outcome(need, subject)
        if outcome is Outcome.DENY:
            return need.action in _ALWAYS_THE_OWNERS and self._owns(bucket)
        if self._identity.is_root:
            return True
        if need.scope is Scope.OBJECT and subject.record is not None:
            return self._may_with_object(need, bucket, subject.record, outcome)
        return (
            self._owns(bucket)
            or outcome is Outcome.ALLOW
            or (
                need.scope is not Scope.OBJECT
                and need.acl is not None
                and self._granted(bucket, bucket_acl(bucket), need.acl)
            )
        )

    def _may_with_object(self, need: Need, bucket: BucketRecord, record: ObjectRecord, outcome: Outcome) -> bool:
        """Of another's object the bucket's owner and policy may deny everything, and allow what has no ACL."""
        owner_id = object_owner(bucket, record)
        owns_object = self._identity.canonical_id == owner_id and not self._identity.is_anonymous
        if owner_id == bucket.owner_id or need.acl is None:
            if owns_object or self._owns(bucket) or outcome is Outcome.ALLOW:
                return True
        elif owns_object and need.acl in (Permission.READ_ACP, Permission.WRITE_ACP):
            return True
        return need.acl is not None and self._granted(bucket, object_acl(bucket, record), need.acl)

    def _granted(self, bucket: BucketRecord, grants: acl.Grants, permission: Permission) -> bool:
        ignore_public = public_access_block(bucket).ignore_public_acls
        return acl.grants_permission(grants, self._identity.canonical_id, permission, ignore_public=ignore_public)

    def _owns(self, bucket: BucketRecord) -> bool:
        return self._identity.is_root or self._identity.canonical_id == bucket.owner_id

    def _policy_outcome(self, need: Need, subject: Subject) -> Outcome:
        bucket = subject.bucket
        policy = bucket_policy(bucket)
        if policy is None:
            return Outcome.NONE
        of_bucket = need.scope is Scope.BUCKET or subject.key is None
        resource = bucket.name if of_bucket else f"{bucket.name}/{subject.key}"
        decision = evaluate(
            (policy,),
            RequestContext(
                action=f"s3:{need.action}",
                resource=RESOURCE_PREFIX + resource,
                principals=self._principals,
                values=ConditionValues(self._sender, subject),
            ),
        )
        restricted = public_access_block(bucket).restrict_public_buckets and policy_is_public(bucket)
        if decision.outcome is Outcome.ALLOW and restricted and not self._owns(bucket):
            return Outcome.NONE
        return decision.outcome

    def is_denied(self, needs: tuple[Need, ...], bucket: BucketRecord) -> bool:
        """Whether one of these actions on the request's key is refused whatever else allows it."""
        subject = Subject(bucket=bucket, key=self._sender.request.key)
        try:
            self._check_bucket(bucket, self._sender.request.headers.get("x-amz-expected-bucket-owner"))
        except S3Error:
            return True
        return any(self._policy_outcome(need, subject) is Outcome.DENY for need in needs)

    def may_learn_absence(self, subject: Subject) -> bool:
        """Whether the sender may be told that there is no such key: who may list the bucket can see it anyway."""
        return self.may(LIST_BUCKET, replace(subject, listing_prefix=subject.key, record=None))

    def require(self, operation: str, bucket: BucketRecord | None, found: Found | None) -> None:
        """Raise AccessDenied unless the sender may do all that the request comes to."""
        request = self._sender.request
        needs = needs_of(operation, request)
        if needs is None:
            raise S3Error("AccessDenied")
        if bucket is None:
            if self._identity.is_anonymous or any(need.scope is not Scope.SERVICE for need in needs):
                raise S3Error("AccessDenied")
            return
        self._check_bucket(bucket, request.headers.get("x-amz-expected-bucket-owner"))
        record = found.record if found is not None else None
        subject = Subject(
            bucket=bucket,
            key=request.key,
            version_id=request.query.get("versionId"),
            record=None if record is None or record.delete_marker else record,
            tags=self._tags,
        )
        if operation in OF_OBJECTS and subject.record is None:
            self._require_absence(needs, subject)
        elif not all(self.may(need, subject) for need in needs):
            raise S3Error("AccessDenied")
        elif any(need.action in _ALWAYS_THE_OWNERS for need in needs) and not self._owns(bucket):
            # AWS: whom another account's policy allows this "gets a 405 Method Not Allowed error" all the same.
            raise S3Error("MethodNotAllowed")

    def _require_absence(self, needs: tuple[Need, ...], subject: Subject) -> None:
        denied = any(self._policy_outcome(need, subject) is Outcome.DENY for need in needs)
        if denied or not self.may_learn_absence(subject):
            raise S3Error("AccessDenied")

    def _check_bucket(self, bucket: BucketRecord, expected_owner: str | None) -> None:
        """x-amz-expected-bucket-owner, which AWS checks before anything else, and who pays for the request."""
        if expected_owner is not None and expected_owner != bucket.owner_id:
            raise S3Error("AccessDenied")
        if requester_pays(bucket) and not self._owns(bucket):
            accepts = (self._sender.request.headers.get("x-amz-request-payer") or "").lower() == "requester"
            if self._identity.is_anonymous or not accepts:
                raise S3Error("AccessDenied")

    def may_delete(self, bucket: BucketRecord, key: str, version_id: str | None) -> bool:
        """Whether one key of a DeleteObjects may be deleted."""
        subject = Subject(bucket=bucket, key=key, version_id=version_id)
        need = DELETE_OBJECT if version_id is None else DELETE_OBJECT.for_version()
        if not self.may(need, subject):
            return False
        bypass = (self._sender.request.headers.get(BYPASS_HEADER) or "").lower() == "true"
        return not bypass or self.may(BYPASS_GOVERNANCE, subject)

    def require_source(self, source: Subject, target: Subject, *, with_tags: bool) -> None:
        """Raise AccessDenied unless the sender may read the source of a copy, and its tags where they go along."""
        self._check_bucket(source.bucket, self._sender.request.headers.get("x-amz-source-expected-bucket-owner"))
        need = GET_OBJECT if source.version_id is None else GET_OBJECT.for_version()
        if source.record is None:
            self._require_absence((need,), source)
            return
        if not self.may(need, source):
            raise S3Error("AccessDenied")
        if with_tags and source.record.tags:
            reading = GET_OBJECT_TAGGING if source.version_id is None else GET_OBJECT_TAGGING.for_version()
            copied = replace(target, tags=source.record.tags)
            if not (self.may(reading, source) and self.may(PUT_WITH_TAGS, copied)):
                raise S3Error("AccessDenied")


async def authorize(index: Index, check: AccessCheck, operation: str) -> tuple[BucketRecord | None, Found | None]:
    """Read what decides a request, in one round trip, and decide; returns it for the handler.

    Raises AccessDenied, NoSuchBucket, IndexUnavailable.
    """
    request = check.request
    if request.bucket is None or operation == "CreateBucket":
        check.require(operation, None, None)
        return None, None
    found = None
    if operation in OF_OBJECTS and request.key is not None:
        version_id = request.query.get("versionId") or None
        bucket, record = await index.get_object(request.bucket, request.key, version_id)
        found = Found(version_id=version_id, record=record)
    else:
        bucket = await index.get_bucket(request.bucket)
    try:
        check.require(operation, bucket, found)
    except S3Error:
        if not await _began_upload(index, check, operation, bucket):
            raise
    return bucket, found


async def _began_upload(index: Index, check: AccessCheck, operation: str, bucket: BucketRecord) -> bool:
    """Whether a refused request is about the sender's own upload, which it may look at and give up."""
    request = check.request
    needs = needs_of(operation, request) or ()
    upload_id = request.query.get("uploadId")
    if not any(need.by_initiator for need in needs) or upload_id is None or request.key is None:
        return False
    if check.identity.is_anonymous or check.is_denied(needs, bucket):
        return False
    try:
        upload = await index.get_upload(bucket.name, request.key, upload_id)
    except NoSuchUpload:
        return False
    return (upload.initiator_id or upload.owner_id) == check.identity.canonical_id
