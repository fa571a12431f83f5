"""Policies and requests for tests, with everything that a test does not care about filled in."""

import json
from collections.abc import Mapping
from typing import Any

from s3compat.policy import Decision, RequestContext, evaluate, parse_policy

BUCKET = "photos"
BUCKET_ARN = "arn:aws:s3:::photos"
OBJECTS_ARN = "arn:aws:s3:::photos/*"
PAULA = frozenset({("AWS", "arn:aws:iam:::user/paula"), ("CanonicalUser", "ab" * 32)})
NOBODY: frozenset[tuple[str, str]] = frozenset()


def statement(**changes: Any) -> dict[str, Any]:
    """One statement; a field given as None is left out."""
    made = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": OBJECTS_ARN} | changes
    return {name: value for name, value in made.items() if value is not None}


def policy_text(*statements: dict[str, Any], version: str = "2012-10-17") -> str:
    return json.dumps({"Version": version, "Statement": list(statements)})


def decide(
    *statements: dict[str, Any],
    action: str = "s3:GetObject",
    resource: str = "arn:aws:s3:::photos/a.jpg",
    principals: frozenset[tuple[str, str]] = PAULA,
    values: Mapping[str, str | tuple[str, ...]] | None = None,
    version: str = "2012-10-17",
) -> Decision:
    """What a policy of these statements says about a request."""
    given = {name.lower(): (value,) if isinstance(value, str) else value for name, value in (values or {}).items()}
    request = RequestContext(action=action, resource=resource, principals=principals, values=given.get)
    return evaluate((parse_policy(policy_text(*statements, version=version), bucket=BUCKET),), request)
