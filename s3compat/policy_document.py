"""Policies as records: read from JSON and validated as S3 does for buckets and IAM for users. Pure.

What they decide is in policy.py.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-policy-language-overview.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NoReturn

from s3compat.errors import S3Error
from s3compat.policy_conditions import OPERATORS, Condition, Operator, Quantifier, is_bool
from s3compat.policy_names import ALL_ACTIONS, BUCKET_ACTIONS, OBJECT_ACTIONS, SERVICE_ACTIONS, is_condition_key
from s3compat.policy_patterns import has_variables, matches_wildcards

#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/example-bucket-policies.html
POLICY_LIMIT_BYTES: Final = 20 * 1024
#: Characters of a user's policy, white space not counted.
#: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html ("User policy size")
IDENTITY_POLICY_LIMIT: Final = 2_048
#: The version in which ${…} are variables; the older one, and none, have them as text.
VERSION_WITH_VARIABLES: Final = "2012-10-17"
_VERSIONS: Final = frozenset({VERSION_WITH_VARIABLES, "2008-10-17"})

RESOURCE_PREFIX: Final = "arn:aws:s3:::"
_PRINCIPAL_KINDS: Final = frozenset({"AWS", "CanonicalUser", "Service", "Federated"})
_AWS_PRINCIPAL: Final = re.compile(
    r"\*|[A-Za-z0-9+=,.@_-]{1,128}"
    r"|arn:aws(?:-cn|-us-gov)?:(?:iam|sts)::[A-Za-z0-9+=,.@_-]{0,128}:"
    r"(?:root|(?:user|role|assumed-role|federated-user)/[!-~]{1,600})"
)
_NOT_PRINCIPAL_WITH_ALLOW: Final = "Allow with NotPrincipal is not allowed."
_STATEMENT_FIELDS: Final = frozenset(
    {
        *("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction"),
        *("Resource", "NotResource", "Condition"),
    }
)
#: An identity policy is about whoever has it.
_ITS_USER: Final[Mapping[str, str]] = {"Principal": "*"}


class Effect(StrEnum):
    """What a statement does to what it matches."""

    ALLOW = "Allow"
    DENY = "Deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principals:
    """Whom a statement is about: `names` are (kind, name) pairs; `inverted` for NotPrincipal."""

    everybody: bool
    names: frozenset[tuple[str, str]]
    inverted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement. `actions` are in lower case; the `not_` flags are for NotAction and NotResource."""

    sid: str
    effect: Effect
    principals: Principals
    actions: tuple[str, ...]
    not_actions: bool
    resources: tuple[str, ...]
    not_resources: bool
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A validated policy; `variables` tells whether `${…}` have a meaning."""

    statements: tuple[Statement, ...]
    variables: bool


def parse_policy(text: str, *, bucket: str) -> Policy:
    """Read the policy of a bucket. Raises MalformedPolicy, in AWS's words, for whatever is wrong with it."""
    if len(text.encode(errors="surrogatepass")) > POLICY_LIMIT_BYTES:
        _refuse("Policy exceeds the maximum allowed document size.")
    return _parse(text, bucket)


def parse_identity_policy(text: str) -> Policy:
    """Read the policy of a user, which names no principal. Raises MalformedPolicy for whatever is wrong with it."""
    if len("".join(text.split())) > IDENTITY_POLICY_LIMIT or len(text) > POLICY_LIMIT_BYTES:
        _refuse(f"Maximum policy size of {IDENTITY_POLICY_LIMIT} characters exceeded, not counting white space.")
    return _parse(text, None)


def _parse(text: str, bucket: str | None) -> Policy:
    """`bucket` is None for an identity policy."""
    document = _load(text)
    for name in document:
        if name not in ("Version", "Id", "Statement"):
            _refuse(f"Unknown field {name[:100]}")
    version = document.get("Version", "2008-10-17")
    if not isinstance(version, str) or version not in _VERSIONS:
        _refuse("The policy must contain a valid version string")
    if not isinstance(document.get("Id", ""), str):
        _refuse("Id must be a single string")
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        _refuse("Missing required field Statement")
    parsed = tuple([_statement(one, bucket) for one in statements])
    sids = [statement.sid for statement in parsed if statement.sid]
    if len(sids) != len(set(sids)):
        _refuse("Statement IDs (SID) in a single policy must be unique.")
    return Policy(statements=parsed, variables=version == VERSION_WITH_VARIABLES)


def _refuse(message: str) -> NoReturn:
    raise S3Error("MalformedPolicy", message)


def _load(text: str) -> dict[str, Any]:
    if not text.startswith("{"):
        raise S3Error("MalformedPolicy")
    try:
        document = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise S3Error("MalformedPolicy", "This policy contains invalid Json") from error
    assert isinstance(document, dict)  # it begins with a brace
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        _refuse("Duplicate field in the policy")
    return found


def _statement(document: Any, bucket: str | None) -> Statement:
    if not isinstance(document, dict):
        _refuse("Statement is invalid")
    for name in document:
        if name not in _STATEMENT_FIELDS:
            _refuse(f"Unknown field {name[:100]}")
    sid = document.get("Sid", "")
    if not isinstance(sid, str):
        _refuse("Sid must be a single string")
    if bucket is None:
        document = _of_its_user(document, sid)
    effect = document.get("Effect")
    if effect is None:
        _refuse("Missing required field Effect")
    if not isinstance(effect, str) or effect not in ("Allow", "Deny"):
        _refuse(f"Invalid effect: {str(effect)[:100]}")
    actions, not_actions = _one_of(document, "Action", "NotAction")
    resources, not_resources = _one_of(document, "Resource", "NotResource")
    statement = Statement(
        sid=sid,
        effect=Effect(effect),
        principals=_principals(document, Effect(effect)),
        actions=tuple([_action(text, of_bucket=bucket is not None) for text in actions]),
        not_actions=not_actions,
        resources=tuple([_resource(text, bucket) for text in resources]),
        not_resources=not_resources,
        conditions=_conditions(document.get("Condition", {})),
    )
    if bucket is not None:
        _check_combination(statement)
    return statement


def _of_its_user(document: Mapping[str, Any], sid: str) -> Mapping[str, Any]:
    """A statement of an identity policy as one that names a principal. IAM takes other statement ids than S3."""
    if "Principal" in document or "NotPrincipal" in document:
        _refuse("Policy document should not specify a principal.")
    if not re.fullmatch(r"[0-9A-Za-z]*", sid):
        _refuse("Statement IDs (SID) must be alpha-numeric.")
    return {**document, **_ITS_USER}


def _one_of(document: Mapping[str, Any], name: str, inverse: str) -> tuple[list[str], bool]:
    """The texts of the one of two elements that is there, and whether it is the inverse."""
    if (name in document) == (inverse in document):
        _refuse(f"Missing required field {name}" if name not in document else f"{name} and {inverse} exclude another")
    inverted = inverse in document
    given = document[inverse if inverted else name]
    return _texts(given, f"Missing required field {name} cannot be empty!"), inverted


def _texts(value: Any, message: str) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        _refuse(message)
    return texts


def _principals(document: Mapping[str, Any], effect: Effect) -> Principals:
    if ("Principal" in document) == ("NotPrincipal" in document):
        _refuse("Missing required field Principal")
    inverted = "NotPrincipal" in document
    if inverted and effect is Effect.ALLOW:
        _refuse(_NOT_PRINCIPAL_WITH_ALLOW)
    given = document["NotPrincipal" if inverted else "Principal"]
    if given == "*":
        return Principals(everybody=True, names=frozenset(), inverted=inverted)
    if not isinstance(given, dict) or not given:
        _refuse("Invalid policy syntax.")
    names: set[tuple[str, str]] = set()
    for kind, value in given.items():
        if kind not in _PRINCIPAL_KINDS:
            _refuse("Invalid policy syntax.")
        names.update((kind, text) for text in _texts(value, "Invalid principal in policy"))
    for kind, text in names:
        if (kind == "AWS" and not _AWS_PRINCIPAL.fullmatch(text)) or (kind == "CanonicalUser" and text == "*"):
            _refuse("Invalid principal in policy")
    return Principals(everybody=("AWS", "*") in names, names=frozenset(names), inverted=inverted)


def _action(text: str, *, of_bucket: bool) -> str:
    lowered = text.lower()
    if lowered == "*":
        return lowered
    vendor, _, name = lowered.partition(":")
    if vendor != "s3" or not re.fullmatch(r"[a-z*?]{1,100}", name):
        _refuse("Policy has invalid action")
    known = ALL_ACTIONS if of_bucket else ALL_ACTIONS | SERVICE_ACTIONS
    if not any(matches_wildcards(name, action) for action in known):
        _refuse("Policy has invalid action")
    return lowered


def _resource(text: str, bucket: str | None) -> str:
    """A resource must be of the bucket whose policy this is; the bucket's part may hold wildcards.

    That of an identity policy is any bucket, any key, or everything.
    """
    name = text.removeprefix(RESOURCE_PREFIX)
    pattern = name.partition("/")[0]
    if bucket is None:
        if text != "*" and (name == text or not pattern):
            _refuse(f'Resource {text[:100]} must be in ARN format or "*".')
        return text
    if name == text or not (matches_wildcards(pattern, bucket) or has_variables(pattern)):
        _refuse("Policy has invalid resource")
    return text


def _conditions(document: Any) -> tuple[Condition, ...]:
    if not isinstance(document, dict):
        _refuse("Invalid policy syntax.")
    found = []
    for name, keys in document.items():
        quantifier, operator, if_exists = _operator(name)
        if not isinstance(keys, dict):
            _refuse("Invalid policy syntax.")
        for key, value in keys.items():
            if not is_condition_key(key.lower()):
                _refuse("Policy has an invalid condition key")
            expected = _condition_values(value)
            check = is_bool if operator is None else operator.check
            if not all(check(text) for text in expected):
                _refuse("Invalid value in a condition")
            found.append(
                Condition(
                    operator=operator,
                    quantifier=quantifier,
                    if_exists=if_exists,
                    key=key.lower(),
                    expected=tuple(expected),
                )
            )
    return tuple(found)


def _operator(name: str) -> tuple[Quantifier, Operator | None, bool]:
    prefix, colon, rest = name.partition(":")
    if colon and prefix not in (Quantifier.ANY, Quantifier.ALL):
        _refuse(f"Invalid Condition type : {name[:100]}")
    quantifier = Quantifier(prefix) if colon else Quantifier.NONE
    plain = rest if colon else name
    if plain == "Null" and not colon:
        return quantifier, None, False
    operator = OPERATORS.get(plain.removesuffix("IfExists"))
    if operator is None:
        _refuse(f"Invalid Condition type : {name[:100]}")
    return quantifier, operator, plain.endswith("IfExists")


def _condition_values(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if not values:
        _refuse("Invalid policy syntax.")
    texts = []
    for one in values:
        if isinstance(one, bool):
            texts.append("true" if one else "false")
        elif isinstance(one, str | int | float):
            texts.append(str(one))
        else:
            _refuse("Invalid policy syntax.")
    return texts


def _check_combination(statement: Statement) -> None:
    """AWS refuses an action that can apply to none of the resources, such as ListBucket on bucket/*."""
    if statement.not_resources or statement.not_actions:
        return
    of_objects = any("/" in text or "*" in text or "${" in text for text in statement.resources)
    of_buckets = any("/" not in text or "*" in text.partition("/")[0] for text in statement.resources)
    for action in statement.actions:
        name = action.partition(":")[2]
        if (name in BUCKET_ACTIONS and not of_buckets) or (name in OBJECT_ACTIONS and not of_objects):
            _refuse("Action does not apply to any resource(s) in statement")
