"""The one table of what each operation needs: its IAM action, and the ACL permission that grants it as well.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations.html ("Permissions" of each operation)
https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#permissions ("Mapping of ACL permissions")

An operation that is not here is denied to everybody.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from s3compat.acl import GRANT_HEADERS, Permission
from s3compat.request import S3Request


class Scope(Enum):
    """Whose owner and ACL decide, beside the bucket policy: nobody's, the bucket's, those of the object that is there.

    KEY is the bucket's too, for an action on a key whatever is there: only the resource in policies differs.
    """

    SERVICE = "service"
    BUCKET = "bucket"
    KEY = "key"
    OBJECT = "object"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One action that must be allowed. `version_action` takes its place when a version is named."""

    action: str
    scope: Scope
    acl: Permission | None = None
    version_action: str | None = None
    version_acl: Permission | None = None
    by_initiator: bool = False
    """Whoever began the multipart upload may do it, too."""

    def for_version(self) -> "Need":
        """The need where the request names a version."""
        if self.version_action is None:
            return self
        return Need(action=self.version_action, scope=self.scope, acl=self.version_acl)


def _bucket(action: str, acl: Permission | None = None) -> Need:
    return Need(action=action, scope=Scope.BUCKET, acl=acl)


def _key(action: str, acl: Permission | None = None, *, by_initiator: bool = False) -> Need:
    return Need(action=action, scope=Scope.KEY, acl=acl, by_initiator=by_initiator)


def _object(action: str, acl: Permission | None = None, version_action: str | None = None) -> Need:
    return Need(
        action=action,
        scope=Scope.OBJECT,
        acl=acl,
        version_action=version_action or action.replace("Object", "ObjectVersion", 1),
        version_acl=acl,
    )


def _locked(action: str) -> Need:
    """Retention and legal hold have one action for all versions."""
    return Need(action=action, scope=Scope.OBJECT)


GET_OBJECT: Final = _object("GetObject", Permission.READ)
GET_OBJECT_TAGGING: Final = _object("GetObjectTagging")
PUT_OBJECT: Final = _key("PutObject", Permission.WRITE)
DELETE_OBJECT: Final = Need(
    action="DeleteObject", scope=Scope.KEY, acl=Permission.WRITE, version_action="DeleteObjectVersion"
)
LIST_BUCKET: Final = _bucket("ListBucket", Permission.READ)
BYPASS_GOVERNANCE: Final = _key("BypassGovernanceRetention")
#: A PUT that carries an ACL or tags: whom the bucket's ACL lets write may say so much of what it writes.
PUT_WITH_ACL: Final = _key("PutObjectAcl", Permission.WRITE)
PUT_WITH_TAGS: Final = _key("PutObjectTagging", Permission.WRITE)
PUT_WITH_RETENTION: Final = _key("PutObjectRetention")
PUT_WITH_LEGAL_HOLD: Final = _key("PutObjectLegalHold")

_PUT_ACL_OF_NEW: Final = Need(action="PutBucketAcl", scope=Scope.SERVICE)
_SERVICE: Final = {"ListBuckets": "ListAllMyBuckets", "CreateBucket": "CreateBucket"}
_OBJECTS: Final[Mapping[str, tuple[Need, ...]]] = {
    "AbortMultipartUpload": (_key("AbortMultipartUpload", by_initiator=True),),
    "CompleteMultipartUpload": (PUT_OBJECT,),
    "CopyObject": (PUT_OBJECT,),
    "CreateMultipartUpload": (PUT_OBJECT,),
    "DeleteObject": (DELETE_OBJECT,),
    "DeleteObjectTagging": (_object("DeleteObjectTagging"),),
    "GetObject": (GET_OBJECT,),
    "GetObjectAcl": (_object("GetObjectAcl", Permission.READ_ACP),),
    "GetObjectAttributes": (GET_OBJECT, _object("GetObjectAttributes", Permission.READ)),
    "GetObjectLegalHold": (_locked("GetObjectLegalHold"),),
    "GetObjectRetention": (_locked("GetObjectRetention"),),
    "GetObjectTagging": (GET_OBJECT_TAGGING,),
    "GetObjectTorrent": (_object("GetObjectTorrent", Permission.READ),),
    "HeadObject": (GET_OBJECT,),
    "ListParts": (_key("ListMultipartUploadParts", by_initiator=True),),
    "PostObject": (PUT_OBJECT,),
    "PutObject": (PUT_OBJECT,),
    "PutObjectAcl": (_object("PutObjectAcl", Permission.WRITE_ACP),),
    "PutObjectLegalHold": (_locked("PutObjectLegalHold"),),
    "PutObjectRetention": (_locked("PutObjectRetention"),),
    "PutObjectTagging": (_object("PutObjectTagging"),),
    "RestoreObject": (_object("RestoreObject", version_action="RestoreObject"),),
    "SelectObjectContent": (GET_OBJECT,),
    "UpdateObjectEncryption": (_object("UpdateObjectEncryption", version_action="UpdateObjectEncryption"),),
    "UploadPart": (PUT_OBJECT,),
    "UploadPartCopy": (PUT_OBJECT,),
}
_BUCKETS: Final[Mapping[str, tuple[Need, ...]]] = {
    # Each key is decided for itself: see `AccessCheck.may_delete`.
    "DeleteObjects": (),
    "GetBucketAcl": (_bucket("GetBucketAcl", Permission.READ_ACP),),
    "HeadBucket": (LIST_BUCKET,),
    "ListMultipartUploads": (_bucket("ListBucketMultipartUploads", Permission.READ),),
    "ListObjectVersions": (_bucket("ListBucketVersions", Permission.READ),),
    "ListObjects": (LIST_BUCKET,),
    "ListObjectsV2": (LIST_BUCKET,),
    "PutBucketAcl": (_bucket("PutBucketAcl", Permission.WRITE_ACP),),
    # A rename takes the source away: its handler asks for that of the source.
    "RenameObject": (_key("PutObject"), _key("DeleteObject")),
}
#: Operations on a bucket's configuration, and the action where it is not called as the operation is.
_CONFIGURATION: Final[Mapping[str, str]] = {
    "DeleteBucket": "DeleteBucket",
    "DeleteBucketAnalyticsConfiguration": "PutAnalyticsConfiguration",
    "DeleteBucketCors": "PutBucketCORS",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketIntelligentTieringConfiguration": "PutIntelligentTieringConfiguration",
    "DeleteBucketInventoryConfiguration": "PutInventoryConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketMetricsConfiguration": "PutMetricsConfiguration",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "DeleteBucketPolicy": "DeleteBucketPolicy",
    "DeleteBucketReplication": "PutReplicationConfiguration",
    "DeleteBucketTagging": "PutBucketTagging",
    "DeleteBucketWebsite": "DeleteBucketWebsite",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "GetBucketAnalyticsConfiguration": "GetAnalyticsConfiguration",
    "GetBucketCors": "GetBucketCORS",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketIntelligentTieringConfiguration": "GetIntelligentTieringConfiguration",
    "GetBucketInventoryConfiguration": "GetInventoryConfiguration",
    "GetBucketLifecycle": "GetLifecycleConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetBucketLocation": "GetBucketLocation",
    "GetBucketLogging": "GetBucketLogging",
    "GetBucketMetricsConfiguration": "GetMetricsConfiguration",
    "GetBucketNotification": "GetBucketNotification",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "GetBucketOwnershipControls": "GetBucketOwnershipControls",
    "GetBucketPolicy": "GetBucketPolicy",
    "GetBucketPolicyStatus": "GetBucketPolicyStatus",
    "GetBucketReplication": "GetReplicationConfiguration",
    "GetBucketRequestPayment": "GetBucketRequestPayment",
    "GetBucketTagging": "GetBucketTagging",
    "GetBucketVersioning": "GetBucketVersioning",
    "GetBucketWebsite": "GetBucketWebsite",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "ListBucketAnalyticsConfigurations": "GetAnalyticsConfiguration",
    "ListBucketIntelligentTieringConfigurations": "GetIntelligentTieringConfiguration",
    "ListBucketInventoryConfigurations": "GetInventoryConfiguration",
    "ListBucketMetricsConfigurations": "GetMetricsConfiguration",
    "PutBucketAccelerateConfiguration": "PutAccelerateConfiguration",
    "PutBucketAnalyticsConfiguration": "PutAnalyticsConfiguration",
    "PutBucketCors": "PutBucketCORS",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketIntelligentTieringConfiguration": "PutIntelligentTieringConfiguration",
    "PutBucketInventoryConfiguration": "PutInventoryConfiguration",
    "PutBucketLifecycle": "PutLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutBucketLogging": "PutBucketLogging",
    "PutBucketMetricsConfiguration": "PutMetricsConfiguration",
    "PutBucketNotification": "PutBucketNotification",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "PutBucketOwnershipControls": "PutBucketOwnershipControls",
    "PutBucketPolicy": "PutBucketPolicy",
    "PutBucketReplication": "PutReplicationConfiguration",
    "PutBucketRequestPayment": "PutBucketRequestPayment",
    "PutBucketTagging": "PutBucketTagging",
    "PutBucketVersioning": "PutBucketVersioning",
    "PutBucketWebsite": "PutBucketWebsite",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}

NEEDS: Final[Mapping[str, tuple[Need, ...]]] = {
    **{name: (Need(action=action, scope=Scope.SERVICE),) for name, action in _SERVICE.items()},
    **_OBJECTS,
    **_BUCKETS,
    **{name: (_bucket(action),) for name, action in _CONFIGURATION.items()},
}

#: Operations on the object that is there, whose owner, ACL and tags decide.
OF_OBJECTS: Final = frozenset(
    name for name, needs in _OBJECTS.items() if any(need.scope is Scope.OBJECT for need in needs)
)
_WRITES: Final = frozenset({"PutObject", "CopyObject", "CreateMultipartUpload", "PostObject"})
_EXTRAS: Final[Mapping[str, Need]] = {
    "x-amz-acl": PUT_WITH_ACL,
    **dict.fromkeys(GRANT_HEADERS, PUT_WITH_ACL),
    "x-amz-tagging": PUT_WITH_TAGS,
    "x-amz-object-lock-mode": PUT_WITH_RETENTION,
    "x-amz-object-lock-retain-until-date": PUT_WITH_RETENTION,
    "x-amz-object-lock-legal-hold": PUT_WITH_LEGAL_HOLD,
}
#: What a CreateBucket that says more than a name needs beside CreateBucket.
#: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html ("Permissions")
_EXTRAS_OF_NEW: Final[Mapping[str, tuple[Need, ...]]] = {
    "x-amz-acl": (_PUT_ACL_OF_NEW,),
    **dict.fromkeys(GRANT_HEADERS, (_PUT_ACL_OF_NEW,)),
    "x-amz-object-ownership": (Need(action="PutBucketOwnershipControls", scope=Scope.SERVICE),),
    "x-amz-bucket-object-lock-enabled": (
        Need(action="PutBucketObjectLockConfiguration", scope=Scope.SERVICE),
        Need(action="PutBucketVersioning", scope=Scope.SERVICE),
    ),
}
_NOTHING: Final[Mapping[str, str]] = {}
_AT_ONCE: Final = {"s3:objectcreationoperation": "true"}
_NOT_YET: Final = {"s3:objectcreationoperation": "false"}
#: Operations under s3:PutObject, and whether each creates an object at once.
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
_CREATES: Final[Mapping[str, Mapping[str, str]]] = {
    **dict.fromkeys(("PutObject", "CopyObject", "CompleteMultipartUpload", "PostObject"), _AT_ONCE),
    **dict.fromkeys(("CreateMultipartUpload", "UploadPart", "UploadPartCopy"), _NOT_YET),
}
BYPASS_HEADER: Final = "x-amz-bypass-governance-retention"


def needs_of(operation: str, request: S3Request) -> tuple[Need, ...] | None:
    """All that a request needs, with the extra actions that its headers ask for; None for an unknown operation."""
    needs = NEEDS.get(operation)
    if needs is None:
        return None
    if request.query.get("versionId"):
        needs = tuple([need.for_version() for need in needs])
    if operation == "CreateBucket":
        extras = dict.fromkeys(
            need for header, more in _EXTRAS_OF_NEW.items() if header in request.headers for need in more
        )
        needs = (*needs, *extras)
    if operation in _WRITES:
        extras = dict.fromkeys(need for header, need in _EXTRAS.items() if header in request.headers)
        needs = (*needs, *extras)
    if (request.headers.get(BYPASS_HEADER) or "").lower() == "true" and operation in (
        "DeleteObject",
        "PutObjectRetention",
    ):
        needs = (*needs, BYPASS_GOVERNANCE)
    return needs


def creates_object(operation: str) -> Mapping[str, str]:
    """The condition key by which a policy tells writes of objects from preparations; empty for other operations."""
    return _CREATES.get(operation, _NOTHING)
