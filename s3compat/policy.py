"""What policies decide about a request, and whether they are public. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html#access-control-block-public-access-policy-status
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from s3compat.policy_conditions import Condition, Quantifier, as_network
from s3compat.policy_document import (
    POLICY_LIMIT_BYTES,
    RESOURCE_PREFIX,
    Effect,
    Policy,
    Principals,
    Statement,
    parse_identity_policy,
    parse_policy,
)
from s3compat.policy_patterns import Values, expand, has_variables, matches, matches_wildcards

__all__ = [
    "POLICY_LIMIT_BYTES",
    "RESOURCE_PREFIX",
    "Decision",
    "Outcome",
    "Policy",
    "RequestContext",
    "evaluate",
    "is_public",
    "parse_identity_policy",
    "parse_policy",
]


class Outcome(StrEnum):
    """What the policies say: NONE when no statement is about the request."""

    ALLOW = "allow"
    DENY = "deny"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The outcome, and the statement that made it: the one, and its place in its policy from 0."""

    outcome: Outcome
    statement: Statement | None = None
    index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """One action on one resource, as policies see it.

    `principals` are the names under which the requester may stand in a policy, as (kind, name) pairs; an anonymous one
    has none. `values` gives the values of a condition key by its lower-case name.
    """

    action: str
    resource: str
    principals: frozenset[tuple[str, str]]
    values: Values


def evaluate(policies: Iterable[Policy], request: RequestContext) -> Decision:
    """An explicit deny wins, then an allow; the order of policies and statements is of no account."""
    allowed = Decision(outcome=Outcome.NONE)
    for policy in policies:
        for index, statement in enumerate(policy.statements):
            if statement.effect is Effect.ALLOW and allowed.outcome is Outcome.ALLOW:
                continue
            if not _applies(statement, request, variables=policy.variables):
                continue
            if statement.effect is Effect.DENY:
                return Decision(outcome=Outcome.DENY, statement=statement, index=index)
            allowed = Decision(outcome=Outcome.ALLOW, statement=statement, index=index)
    return allowed


def _applies(statement: Statement, request: RequestContext, *, variables: bool) -> bool:
    return (
        _names_action(statement, request.action.lower())
        and _names_principal(statement.principals, request)
        and _names_resource(statement, request, variables=variables)
        and all(condition.holds(request.values, variables=variables) for condition in statement.conditions)
    )


def _names_action(statement: Statement, action: str) -> bool:
    return statement.not_actions != any(matches_wildcards(pattern, action) for pattern in statement.actions)


def _names_principal(principals: Principals, request: RequestContext) -> bool:
    named = principals.everybody or not principals.names.isdisjoint(request.principals)
    return principals.inverted != named


def _names_resource(statement: Statement, request: RequestContext, *, variables: bool) -> bool:
    return statement.not_resources != any(
        _is_resource(pattern, request, variables=variables) for pattern in statement.resources
    )


def _is_resource(pattern: str, request: RequestContext, *, variables: bool) -> bool:
    if not variables or not has_variables(pattern):
        return matches_wildcards(pattern, request.resource)
    tokens = expand(pattern, request.values, wildcards=True)
    return tokens is not None and matches(tokens, request.resource)


#: Keys that, held to fixed values, keep a policy for everybody from being public.
_RESTRICTING_KEYS: Final = frozenset(
    {
        *("aws:sourceip", "aws:sourcearn", "aws:sourcevpc", "aws:sourcevpce", "aws:sourceowner", "aws:sourceaccount"),
        *("aws:principalorgid", "aws:principalorgpaths", "aws:principalaccount", "aws:principalarn", "aws:userid"),
        *("s3:dataaccesspointarn", "s3:dataaccesspointaccount", "s3:x-amz-server-side-encryption-aws-kms-key-id"),
    }
)
_RESTRICTING_OPERATORS: Final = frozenset(
    {"StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike", "IpAddress"}
)
#: Wider ranges of addresses than these count as everybody, in bits of the prefix.
_LEAST_PREFIX_BITS: Final = {4: 8, 6: 32}


def is_public(policy: Policy) -> bool:
    """Whether a policy allows something to everybody, with no condition that holds them to fixed values."""
    return any(
        statement.effect is Effect.ALLOW
        and statement.principals.everybody
        and not any(_restricts(condition) for condition in statement.conditions)
        for statement in policy.statements
    )


def _restricts(condition: Condition) -> bool:
    operator = condition.operator
    if operator is None or condition.if_exists or condition.quantifier is Quantifier.ALL:
        return False
    if condition.key not in _RESTRICTING_KEYS or operator.name not in _RESTRICTING_OPERATORS:
        return False
    if condition.key == "aws:sourceip":
        return operator.name == "IpAddress" and all(_is_narrow(text) for text in condition.expected)
    return all(_is_fixed(condition.key, text) for text in condition.expected)


def _is_narrow(text: str) -> bool:
    network = as_network(text)
    return network is not None and network.prefixlen >= _LEAST_PREFIX_BITS[network.version]


def _is_fixed(key: str, text: str) -> bool:
    if key in ("aws:sourcearn", "aws:principalarn", "s3:dataaccesspointarn"):
        # AWS: an ARN is fixed when its account is; the resource behind it may hold wildcards.
        text = text.split(":", 5)[4] if text.count(":") >= 5 else text
    return bool(text) and not any(mark in text for mark in ("*", "?", "${"))
