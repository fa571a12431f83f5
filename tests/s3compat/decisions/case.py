"""One row of the table: policies, a request, the decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from s3compat.policy import Outcome
from tests.s3compat.policy_making import PAULA

Values = Mapping[str, str | tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`moto` is None where moto's IAMPolicy cannot express the case, empty where it must decide alike, and otherwise
    says why it decides differently. `identity`: the statements are of a user's policy, without Principal.
    """

    name: str
    statements: tuple[dict[str, Any], ...]
    outcome: Outcome
    action: str = "s3:GetObject"
    resource: str = "arn:aws:s3:::photos/a.jpg"
    principals: frozenset[tuple[str, str]] = PAULA
    values: Values = field(default_factory=dict)
    version: str = "2012-10-17"
    identity: bool = False
    moto: str | None = None
