"""Who may do what: one decision for every action, in the order of AWS's evaluation logic.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/how-s3-evaluates-access-control.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html

An explicit deny of the bucket policy wins over everything, for the bucket's owner and for root too; what remains to
those two then is to read, replace and remove the policy. A user who has an identity policy may do nothing that it
denies or does not allow. After that an action is allowed to root, to the owner, to whom the bucket policy allows it and
to whom an ACL grants it. Anonymous requests are decided as all others. What nothing allows is denied, and so is an
operation that has no entry in the table of actions.

What is refused is refused with its reason, for `cairn why`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway.bucket_access import POLICY, bucket_acl, object_acl, object_owner, public_access_block, requester_pays
from gateway.condition_values import Sender, Subject
from gateway.credentials import Identity
from gateway.index.encryption_record import EncryptionMode
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
    creates_object,
    needs_of,
)
from gateway.policy_verdicts import Verdict, verdict_on
from gateway.refusal_reasons import expected_owner, missing_key, reason_of, requester_must_pay
from gateway.refusals import Decider, Reason, Refused
from s3compat import acl
from s3compat.acl import Permission
from s3compat.encryption import AES256, AWS_KMS, KMS_KEY_HEADER, METHOD_HEADER
from s3compat.errors import S3Error
from s3compat.policy import Outcome
from s3compat.request import S3Request
from s3compat.tags import Tags

_OF_UPLOADS = frozenset({"UploadPart", "UploadPartCopy", "CompleteMultipartUpload"})
#: In the text of a policy that may ask for encryption.
_SSE = b"server-side-encryption"
#: What an explicit deny cannot take from the owner of a bucket: the way out of it.
_ALWAYS_THE_OWNERS = frozenset({"GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"})
#: Of the keys of one DeleteObjects; a thousand may be refused for the same reason.
_MOST_REFUSALS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was read to decide a request: the object's version that it names, or None where there is none."""

    version_id: str | None
    record: ObjectRecord | None


class AccessCheck:
    """Decides for the sender of one request; handlers ask it about what the pipeline cannot know beforehand.

    `tags` are those that the request's body sets, `stated` what else of it policies may ask for, by condition key.
    """

    def __init__(self, sender: Sender, *, tags: Tags | None = None, stated: Mapping[str, str] | None = None) -> None:
        self._sender = sender
        self._identity = sender.identity
        self._tags = tags
        self._stated = stated or {}
        self.refusals: list[Reason] = []
        """Why single keys of a DeleteObjects were refused, the first ones."""
        self.bucket: BucketRecord | None = None
        """The bucket that was asked about, once there was one to look at; of a refused request, too."""

    @property
    def identity(self) -> Identity:
        """Who asks."""
        return self._identity

    @property
    def request(self) -> S3Request:
        """What is asked for."""
        return self._sender.request

    @property
    def client_address(self) -> str | None:
        """Where the request comes from: the address of the peer, which may be a proxy's."""
        return self._sender.client_address

    def may(self, need: Need, subject: Subject) -> bool:
        """Whether one action is allowed. An object that is not there is the business of `may_learn_absence`."""
        return self._allows(need, subject, verdict_on(need, subject, self._sender))

    def _allows(self, need: Need, subject: Subject, verdict: Verdict) -> bool:
        bucket = subject.bucket
        if verdict.identity_forbids:
            return False
        if verdict.bucket.outcome is Outcome.DENY:
            return need.action in _ALWAYS_THE_OWNERS and self._owns(bucket)
        if self._identity.is_root:
            return True
        if need.scope is Scope.OBJECT and subject.record is not None:
            return self._may_with_object(need, bucket, subject.record, allowed=verdict.bucket_allows)
        return (
            self._owns(bucket)
            or verdict.bucket_allows
            or (
                need.scope is not Scope.OBJECT
                and need.acl is not None
                and self._granted(bucket, bucket_acl(bucket), need.acl)
            )
        )

    def _may_with_object(self, need: Need, bucket: BucketRecord, record: ObjectRecord, *, allowed: bool) -> bool:
        """Of another's object the bucket's owner and policy may deny everything, and allow what has no ACL."""
        owner_id = object_owner(bucket, record)
        owns_object = self._identity.canonical_id == owner_id and not self._identity.is_anonymous
        if owner_id == bucket.owner_id or need.acl is None:
            if owns_object or self._owns(bucket) or allowed:
                return True
        elif owns_object and need.acl in (Permission.READ_ACP, Permission.WRITE_ACP):
            return True
        return need.acl is not None and self._granted(bucket, object_acl(bucket, record), need.acl)

    def _granted(self, bucket: BucketRecord, grants: acl.Grants, permission: Permission) -> bool:
        ignore_public = public_access_block(bucket).ignore_public_acls
        return acl.grants_permission(grants, self._identity.canonical_id, permission, ignore_public=ignore_public)

    def _owns(self, bucket: BucketRecord) -> bool:
        return self._identity.is_root or self._identity.canonical_id == bucket.owner_id

    def _refusal(self, need: Need, subject: Subject) -> Reason | None:
        """Why one action is not allowed, None where it is."""
        verdict = verdict_on(need, subject, self._sender)
        return None if self._allows(need, subject, verdict) else reason_of(need, subject, self._sender, verdict)

    def _require_all(self, needs: tuple[Need, ...], subject: Subject) -> None:
        for need in needs:
            reason = self._refusal(need, subject)
            if reason is not None:
                raise Refused(reason)

    def is_denied(self, needs: tuple[Need, ...], bucket: BucketRecord) -> bool:
        """Whether one of these actions on the request's key is refused whatever else allows it."""
        subject = Subject(bucket=bucket, key=self._sender.request.key)
        try:
            self._check_bucket(bucket, "x-amz-expected-bucket-owner")
        except S3Error:
            return True
        verdicts = [verdict_on(need, subject, self._sender) for need in needs]
        return any(verdict.denied or verdict.identity_forbids for verdict in verdicts)

    def may_learn_absence(self, subject: Subject) -> bool:
        """Whether the sender may be told that there is no such key: who may list the bucket can see it anyway."""
        return self._absence_refusal(subject) is None

    def _absence_refusal(self, subject: Subject) -> Reason | None:
        return self._refusal(LIST_BUCKET, replace(subject, listing_prefix=subject.key, record=None))

    def require(
        self,
        operation: str,
        bucket: BucketRecord | None,
        found: Found | None,
        upload_headers: Mapping[str, str] | None = None,
    ) -> None:
        """Raise AccessDenied unless the sender may do all that the request comes to."""
        request = self._sender.request
        needs = needs_of(operation, request)
        if needs is None:
            raise Refused(Reason(decider=Decider.OPERATION, text=f"{operation} has no entry in the table of actions"))
        if bucket is None:
            self._require_of_service(operation, needs)
            return
        self.bucket = bucket
        self._check_bucket(bucket, "x-amz-expected-bucket-owner")
        record = found.record if found is not None else None
        subject = Subject(
            bucket=bucket,
            key=request.key,
            version_id=request.query.get("versionId"),
            record=None if record is None or record.delete_marker else record,
            tags=self._tags,
            upload_headers=upload_headers,
            stated={**self._stated, **creates_object(operation)},
        )
        if operation in OF_OBJECTS and subject.record is None:
            self._require_absence(needs, subject)
            return
        self._require_all(needs, subject)
        if any(need.action in _ALWAYS_THE_OWNERS for need in needs) and not self._owns(bucket):
            # AWS: whom another account's policy allows this "gets a 405 Method Not Allowed error" all the same.
            raise S3Error("MethodNotAllowed")

    def _require_of_service(self, operation: str, needs: tuple[Need, ...]) -> None:
        """What is on no bucket yet is everybody's who is somebody and whom no identity policy keeps from it."""
        identity, request = self._identity, self._sender.request
        if identity.is_anonymous or any(need.scope is not Scope.SERVICE for need in needs):
            text = f"{operation} is not for the anonymous: the request carries no signature"
            raise Refused(Reason(decider=Decider.MISSING_PERMISSION, text=text))
        if identity.policy is None:
            return
        # The bucket as it will be; ListAllMyBuckets is on all of them.
        bucket = BucketRecord(
            name=request.bucket or "*",
            bucket_id=0,
            owner_id=identity.canonical_id,
            created_ms=0,
            region=self._sender.region,
        )
        self._require_all(needs, Subject(bucket=bucket, key=None, stated=self._stated))

    def _require_absence(self, needs: tuple[Need, ...], subject: Subject) -> None:
        for need in needs:
            verdict = verdict_on(need, subject, self._sender)
            if verdict.denied:
                raise Refused(reason_of(need, subject, self._sender, verdict))
        reason = self._absence_refusal(subject)
        if reason is not None:
            raise Refused(missing_key(subject, reason))

    def _check_bucket(self, bucket: BucketRecord, header: str) -> None:
        """x-amz-expected-bucket-owner, which AWS checks before anything else, and who pays for the request."""
        expected = self._sender.request.headers.get(header)
        if expected is not None and expected != bucket.owner_id:
            raise Refused(expected_owner(bucket, expected, header))
        if requester_pays(bucket) and not self._owns(bucket):
            accepts = (self._sender.request.headers.get("x-amz-request-payer") or "").lower() == "requester"
            if self._identity.is_anonymous or not accepts:
                raise Refused(requester_must_pay(bucket, self._identity))

    def may_delete(self, bucket: BucketRecord, key: str, version_id: str | None) -> bool:
        """Whether one key of a DeleteObjects may be deleted."""
        subject = Subject(bucket=bucket, key=key, version_id=version_id)
        need = DELETE_OBJECT if version_id is None else DELETE_OBJECT.for_version()
        reason = self._refusal(need, subject)
        bypass = (self._sender.request.headers.get(BYPASS_HEADER) or "").lower() == "true"
        if reason is None and bypass:
            reason = self._refusal(BYPASS_GOVERNANCE, subject)
        if reason is not None:
            self.remember(reason)
        return reason is None

    def remember(self, reason: Reason) -> None:
        """Keep why one key of a DeleteObjects was refused."""
        if len(self.refusals) < _MOST_REFUSALS:
            self.refusals.append(reason)

    def require_source(self, source: Subject, target: Subject, *, with_tags: bool) -> None:
        """Raise AccessDenied unless the sender may read the source of a copy, and its tags where they go along."""
        self._check_bucket(source.bucket, "x-amz-source-expected-bucket-owner")
        need = GET_OBJECT if source.version_id is None else GET_OBJECT.for_version()
        if source.record is None:
            self._require_absence((need,), source)
            return
        self._require_all((need,), source)
        if with_tags and source.record.tags:
            reading = GET_OBJECT_TAGGING if source.version_id is None else GET_OBJECT_TAGGING.for_version()
            self._require_all((reading,), source)
            self._require_all((PUT_WITH_TAGS,), replace(target, tags=source.record.tags))


async def authorize(index: Index, check: AccessCheck, operation: str) -> tuple[BucketRecord | None, Found | None]:
    """Read what decides a request, in one round trip, and decide; returns it for the handler.

    Raises AccessDenied, NoSuchBucket, IndexUnavailable.
    """
    request = check.request
    if request.bucket is None or operation == "CreateBucket":
        check.require(operation, None, None)
        return None, None
    found, upload_headers = None, None
    if operation in OF_OBJECTS and request.key is not None:
        version_id = request.query.get("versionId") or None
        bucket, record = await index.get_object(request.bucket, request.key, version_id)
        found = Found(version_id=version_id, record=record)
    else:
        bucket = await index.get_bucket(request.bucket)
        # A user's own policy may ask, too; it is not looked into.
        asks = check.identity.policy is not None or _SSE in bucket.configs.get(POLICY, b"")
        if operation in _OF_UPLOADS and asks:
            upload_headers = await _encryption_of_upload(index, request, bucket)
    try:
        check.require(operation, bucket, found, upload_headers)
    except S3Error:
        if not await _began_upload(index, check, operation, bucket):
            raise
    return bucket, found


async def _encryption_of_upload(index: Index, request: S3Request, bucket: BucketRecord) -> Mapping[str, str] | None:
    """How an upload is encrypted, as headers. Only the request that begins one may say so, and a policy that denies
    what is not encrypted is about its parts, too.
    """
    upload_id = request.query.get("uploadId")
    if upload_id is None or request.key is None:
        return None
    try:
        upload = await index.get_upload(bucket.name, request.key, upload_id)
    except NoSuchUpload:
        return None  # the handler says so to whoever may write
    encryption = upload.encryption
    if encryption is None or encryption.mode is EncryptionMode.SSE_C:
        return None
    if encryption.mode is EncryptionMode.SSE_S3:
        return {METHOD_HEADER: AES256}
    return {METHOD_HEADER: AWS_KMS, KMS_KEY_HEADER: encryption.kms_key_id}


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
