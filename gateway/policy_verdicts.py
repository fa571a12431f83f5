"""What the policies say about one action of one request: the bucket's, and the identity policy of who asks.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic-cross-account.html

Every user is an account, so a bucket of another is one of another account: its policy (or an ACL) and the identity
policy must both allow. Of its own buckets a user has the rights of an account's root, unless it has an identity policy:
then it is held to that as the users of an account are.
"""

from dataclasses import dataclass

from gateway.bucket_access import bucket_policy, policy_is_public, public_access_block
from gateway.condition_values import ConditionValues, Sender, Subject, principals_of
from gateway.operation_actions import Need, Scope
from s3compat.policy import RESOURCE_PREFIX, Decision, Outcome, RequestContext, evaluate

NO_DECISION = Decision(outcome=Outcome.NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What each policy decides. `identity` is None for who is held to no policy.

    `restricted`: RestrictPublicBuckets takes away what the bucket policy allows.
    """

    bucket: Decision = NO_DECISION
    identity: Decision | None = None
    restricted: bool = False

    @property
    def denied(self) -> bool:
        """Whether a statement of either policy denies."""
        identity = self.identity is not None and self.identity.outcome is Outcome.DENY
        return identity or self.bucket.outcome is Outcome.DENY

    @property
    def identity_forbids(self) -> bool:
        """Whether the sender is held to a policy that denies, or does not allow."""
        return self.identity is not None and self.identity.outcome is not Outcome.ALLOW

    @property
    def bucket_allows(self) -> bool:
        """Whether the bucket policy allows, as far as it counts."""
        return self.bucket.outcome is Outcome.ALLOW and not self.restricted


_NO_VERDICT = Verdict()


def action_of(need: Need) -> str:
    """An action as policies call it."""
    return f"s3:{need.action}"


def resource_of(need: Need, subject: Subject) -> str:
    """The ARN of what the action is on."""
    of_bucket = need.scope in (Scope.BUCKET, Scope.SERVICE) or subject.key is None
    return RESOURCE_PREFIX + (subject.bucket.name if of_bucket else f"{subject.bucket.name}/{subject.key}")


def verdict_on(need: Need, subject: Subject, sender: Sender) -> Verdict:
    """Ask the policies."""
    bucket = subject.bucket
    policy, own = bucket_policy(bucket), sender.identity.policy
    if policy is None and own is None:
        return _NO_VERDICT
    request = RequestContext(
        action=action_of(need),
        resource=resource_of(need, subject),
        principals=principals_of(sender.identity),
        values=ConditionValues(sender, subject),
    )
    of_bucket = NO_DECISION if policy is None else evaluate((policy,), request)
    restricted = of_bucket.outcome is Outcome.ALLOW and _is_restricted(sender, subject)
    of_identity = None if own is None else evaluate((own,), request)
    return Verdict(bucket=of_bucket, identity=of_identity, restricted=restricted)


def _is_restricted(sender: Sender, subject: Subject) -> bool:
    bucket = subject.bucket
    if not (public_access_block(bucket).restrict_public_buckets and policy_is_public(bucket)):
        return False
    return not (sender.identity.is_root or sender.identity.canonical_id == bucket.owner_id)
