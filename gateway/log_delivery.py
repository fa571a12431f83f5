"""Where requests to a bucket are logged, and whether the target lets logs be delivered to it.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html#grant-log-delivery-permissions-general
"""

from functools import lru_cache

from gateway.bucket_access import acls_disabled, bucket_acl, bucket_policy
from gateway.index.records import BucketRecord
from s3compat.access_log import LOGGING_SERVICE, LogTarget, decode_document, parse_logging
from s3compat.acl import LOG_DELIVERY, Permission
from s3compat.policy import RESOURCE_PREFIX, Outcome, RequestContext, evaluate

#: The name of the configuration document, as `s3compat.access_log.encode_document` makes it.
LOGGING = "logging"


def log_target(bucket: BucketRecord) -> LogTarget | None:
    """Where the requests to a bucket are logged, None where they are not."""
    stored = bucket.configs.get(LOGGING)
    return None if stored is None else _stored_target(stored)


@lru_cache(maxsize=256)
def _stored_target(stored: bytes) -> LogTarget | None:
    return parse_logging(decode_document(stored))


def may_deliver(source: BucketRecord, target: BucketRecord, key: str) -> bool:
    """Whether the log-delivery service may write this key, by the target's policy or, where ACLs count, its ACL.

    Both belong to the same user, as AWS asks for, too.
    """
    if source.owner_id != target.owner_id:
        return False
    policy = bucket_policy(target)
    outcome = Outcome.NONE if policy is None else evaluate((policy,), _put_request(source, target, key)).outcome
    if outcome is not Outcome.NONE:
        return outcome is Outcome.ALLOW
    return not acls_disabled(target) and _granted(target, Permission.WRITE) and _granted(target, Permission.READ_ACP)


def _put_request(source: BucketRecord, target: BucketRecord, key: str) -> RequestContext:
    values = {
        "aws:sourcearn": (RESOURCE_PREFIX + source.name,),
        "aws:sourceaccount": (source.owner_id,),
        "aws:securetransport": ("true",),
    }
    return RequestContext(
        action="s3:PutObject",
        resource=f"{RESOURCE_PREFIX}{target.name}/{key}",
        principals=frozenset({("Service", LOGGING_SERVICE)}),
        values=values.get,
    )


def _granted(target: BucketRecord, permission: Permission) -> bool:
    return any(
        grant.grantee.name == LOG_DELIVERY and grant.permission in (permission, Permission.FULL_CONTROL)
        for grant in bucket_acl(target)
    )
