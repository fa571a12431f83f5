"""The table of decisions (tests/s3compat/decisions), held against ours and, where it can express them, moto's."""

import json
from collections import Counter
from typing import Any

import pytest
from moto.iam.access_control import IAMPolicy, PermissionResult

from s3compat.policy import Outcome, RequestContext, evaluate, parse_identity_policy
from s3compat.policy_conditions import OPERATORS
from s3compat.policy_names import CONDITION_KEYS
from tests.s3compat.decisions import TABLE
from tests.s3compat.decisions.case import Case
from tests.s3compat.policy_making import decide, policy_text

_MOTO = {
    PermissionResult.PERMITTED: Outcome.ALLOW,
    PermissionResult.DENIED: Outcome.DENY,
    PermissionResult.NEUTRAL: Outcome.NONE,
}
#: Keys that AWS documents and of which no decision is in the table: nothing here could have a value for them.
_ABSENT = 24


def ours(case: Case) -> Outcome:
    if not case.identity:
        return decide(
            *case.statements,
            action=case.action,
            resource=case.resource,
            principals=case.principals,
            values=case.values,
            version=case.version,
        ).outcome
    values = {name.lower(): (value,) if isinstance(value, str) else value for name, value in case.values.items()}
    request = RequestContext(action=case.action, resource=case.resource, principals=case.principals, values=values.get)
    return evaluate((parse_identity_policy(policy_text(*case.statements, version=case.version)),), request).outcome


def motos(case: Case) -> Outcome:
    policy = IAMPolicy(json.dumps({"Version": case.version, "Statement": list(case.statements)}))
    return _MOTO[policy.is_action_permitted(case.action, case.resource, None, dict(case.values))]


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_decision(case: Case) -> None:
    assert ours(case) is case.outcome
    if case.moto is not None:
        assert (motos(case) is case.outcome) == (case.moto == ""), case.moto or "moto decides otherwise"


def test_table_is_whole() -> None:
    assert len(TABLE) >= 300
    assert max(Counter(map(repr, TABLE)).values()) == 1
    assert sum(case.moto is not None for case in TABLE) >= 100
    used: Counter[str] = Counter()
    keys: set[str] = set()
    for case in TABLE:
        for one in case.statements:
            used.update(name for name in one if name not in ("Effect", "Sid"))
            conditions: dict[str, dict[str, Any]] = one.get("Condition", {})
            used.update(name.rpartition(":")[2].removesuffix("IfExists") for name in conditions)
            keys.update(key.lower() for asked in conditions.values() for key in asked)
    assert {"Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource"} <= used.keys()
    assert {*OPERATORS, "Null"} <= used.keys()
    named = {name + slash for name, slash, _ in (key.partition("/") for key in keys)}
    assert named <= CONDITION_KEYS
    assert len(CONDITION_KEYS - named) <= _ABSENT
