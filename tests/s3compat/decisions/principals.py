"""Decisions about Principal and NotPrincipal. A table. moto knows no principal but `*`."""

from typing import Any, Final

from s3compat.policy import Outcome
from tests.s3compat.decisions.case import Case
from tests.s3compat.policy_making import NOBODY, PAULA, statement

ALLOW, DENY, NONE = Outcome.ALLOW, Outcome.DENY, Outcome.NONE
ROOT_OF_PAULA = frozenset({*PAULA, ("AWS", f"arn:aws:iam::{'ab' * 32}:root"), ("AWS", "ab" * 32)})

_PRINCIPAL: Final[list[tuple[Any, frozenset[tuple[str, str]], Outcome]]] = [
    ("*", PAULA, ALLOW),
    ("*", NOBODY, ALLOW),
    ({"AWS": "*"}, PAULA, ALLOW),
    ({"AWS": "*"}, NOBODY, ALLOW),
    ({"AWS": ["arn:aws:iam:::user/max", "*"]}, NOBODY, ALLOW),
    ({"AWS": "arn:aws:iam:::user/paula"}, PAULA, ALLOW),
    ({"AWS": ["arn:aws:iam:::user/max", "arn:aws:iam:::user/paula"]}, PAULA, ALLOW),
    ({"AWS": "arn:aws:iam:::user/paula"}, NOBODY, NONE),
    ({"AWS": "arn:aws:iam:::user/max"}, PAULA, NONE),
    ({"AWS": "arn:aws:iam:::user/Paula"}, PAULA, NONE),
    # AWS: a wildcard matches part of a principal nowhere.
    ({"AWS": "arn:aws:iam:::user/pa*"}, PAULA, NONE),
    ({"AWS": "arn:aws:iam:::user/paul"}, PAULA, NONE),
    ({"AWS": "arn:aws:iam:::role/paula"}, PAULA, NONE),
    ({"AWS": f"arn:aws:iam::{'ab' * 32}:root"}, ROOT_OF_PAULA, ALLOW),
    ({"AWS": "ab" * 32}, ROOT_OF_PAULA, ALLOW),
    ({"AWS": f"arn:aws:iam::{'cd' * 32}:root"}, ROOT_OF_PAULA, NONE),
    ({"CanonicalUser": "ab" * 32}, PAULA, ALLOW),
    ({"CanonicalUser": ["cd" * 32, "ab" * 32]}, PAULA, ALLOW),
    ({"CanonicalUser": "cd" * 32}, PAULA, NONE),
    ({"CanonicalUser": "ab" * 32}, NOBODY, NONE),
    # A canonical id under the wrong kind is nobody's name.
    ({"CanonicalUser": "arn:aws:iam:::user/paula"}, PAULA, NONE),
    ({"Service": "logging.s3.amazonaws.com"}, PAULA, NONE),
    ({"Service": "*"}, PAULA, NONE),
    ({"Federated": "*"}, PAULA, NONE),
    ({"Service": "logging.s3.amazonaws.com", "AWS": "arn:aws:iam:::user/paula"}, PAULA, ALLOW),
    ({"Federated": "cognito-identity.amazonaws.com", "CanonicalUser": "ab" * 32}, PAULA, ALLOW),
]
_NOT_PRINCIPAL: Final[list[tuple[Any, frozenset[tuple[str, str]], Outcome]]] = [
    ({"AWS": "arn:aws:iam:::user/paula"}, PAULA, NONE),
    ({"AWS": "arn:aws:iam:::user/max"}, PAULA, DENY),
    ({"AWS": "arn:aws:iam:::user/max"}, NOBODY, DENY),
    ({"AWS": ["arn:aws:iam:::user/max", "arn:aws:iam:::user/paula"]}, PAULA, NONE),
    ({"CanonicalUser": "ab" * 32}, PAULA, NONE),
    ({"CanonicalUser": "cd" * 32}, PAULA, DENY),
    ({"Service": "logging.s3.amazonaws.com"}, PAULA, DENY),
    ("*", PAULA, NONE),
    ("*", NOBODY, NONE),
    ({"AWS": "*"}, NOBODY, NONE),
]

CASES: Final = (
    *[
        Case(
            name=f"Principal {principal}",
            statements=(statement(Principal=principal),),
            principals=who,
            outcome=outcome,
            moto="" if principal == "*" else None,
        )
        for principal, who, outcome in _PRINCIPAL
    ],
    *[
        Case(
            name=f"NotPrincipal {principal}",
            statements=(statement(Effect="Deny", Principal=None, NotPrincipal=principal),),
            principals=who,
            outcome=outcome,
        )
        for principal, who, outcome in _NOT_PRINCIPAL
    ],
)
