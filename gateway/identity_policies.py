"""The policies of users, between their stored text and what decides a request.

https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_identity-vs-resource.html
"""

from functools import lru_cache

import structlog

from s3compat.errors import S3Error
from s3compat.policy import Policy, parse_identity_policy

log = structlog.get_logger("cairn.gateway")

#: Allows nothing.
NOTHING = Policy(statements=(), variables=True)


def stored_policy(text: str) -> Policy | None:
    """The policy of a user as its record has it; None for a user without one.

    A text that this release cannot read (a newer one may have stored it) allows nothing.
    """
    return _parse(text) if text else None


@lru_cache(maxsize=4096)
def _parse(text: str) -> Policy:
    try:
        return parse_identity_policy(text)
    except S3Error as error:
        log.error("an identity policy cannot be read: its user may do nothing", error=str(error))
        return NOTHING
