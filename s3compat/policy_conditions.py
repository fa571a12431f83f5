"""The condition operators of policies: how values of a request are held against those of a statement. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import lru_cache
from typing import Final

from s3compat.policy_patterns import Tokens, Values, Wild, expand, literal_tokens, matches, wildcard_tokens


class Quantifier(StrEnum):
    """How a key with several values is taken."""

    NONE = ""
    ANY = "ForAnyValue"
    ALL = "ForAllValues"


Compare = Callable[[str, Tokens], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """`compare` is asked of each value of the request and each of the policy; `negated` turns its answer round."""

    name: str
    compare: Compare
    check: Callable[[str], bool]
    negated: bool = False
    wildcards: bool = False
    variables: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One key of a statement's Condition. `operator` is None for Null, whose value is `is_null`."""

    operator: Operator | None
    quantifier: Quantifier
    if_exists: bool
    key: str
    expected: tuple[str, ...]

    def holds(self, values: Values, *, variables: bool) -> bool:
        """Whether a request fulfils it; `variables` is off for policies of the old version."""
        found = values(self.key)
        if self.operator is None:
            return any(text.lower() == ("false" if found else "true") for text in self.expected)
        if not found:
            return self._holds_of_nothing()
        operator = self.operator
        patterns = self._patterns(values, variables=variables and operator.variables)
        if self.quantifier is Quantifier.ALL or (operator.negated and self.quantifier is Quantifier.NONE):
            return all(_satisfies(operator, value, patterns) for value in found)
        return any(_satisfies(operator, value, patterns) for value in found)

    def _holds_of_nothing(self) -> bool:
        if self.if_exists or self.quantifier is Quantifier.ALL:
            return True
        assert self.operator is not None
        return self.operator.negated and self.quantifier is Quantifier.NONE

    def _patterns(self, values: Values, *, variables: bool) -> list[Tokens]:
        """What the request is compared with; one with a variable that has no value equals nothing: left out."""
        assert self.operator is not None
        wildcards = self.operator.wildcards
        if not variables:
            return [wildcard_tokens(text) if wildcards else literal_tokens(text) for text in self.expected]
        expanded = [expand(text, values, wildcards=wildcards) for text in self.expected]
        return [tokens for tokens in expanded if tokens is not None]


def _satisfies(operator: Operator, value: str, patterns: Sequence[Tokens]) -> bool:
    return operator.negated != any(operator.compare(value, pattern) for pattern in patterns)


def _text(tokens: Tokens) -> str:
    return "".join([token.value if isinstance(token, Wild) else token for token in tokens])


def _equals(value: str, pattern: Tokens) -> bool:
    return value == _text(pattern)


def _equals_ignoring_case(value: str, pattern: Tokens) -> bool:
    return value.lower() == _text(pattern).lower()


def _like(value: str, pattern: Tokens) -> bool:
    return matches(pattern, value)


def _arn_like(value: str, pattern: Tokens) -> bool:
    """Part by part: a wildcard does not reach over the first five colons."""
    given, wanted = value.split(":", 5), _split_arn(pattern)
    return len(given) == len(wanted) == 6 and all(matches(part, text) for part, text in zip(wanted, given, strict=True))


def _split_arn(pattern: Tokens) -> list[Tokens]:
    parts: list[Tokens] = []
    start = 0
    for at, token in enumerate(pattern):
        if token == ":" and len(parts) < 5:
            parts.append(pattern[start:at])
            start = at + 1
    return [*parts, pattern[start:]]


def _as_number(text: str) -> Decimal | None:
    if len(text) > 40 or not re.fullmatch(r"\s*[+-]?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]{1,3})?\s*", text):
        return None
    try:
        return Decimal(text.strip())
    except InvalidOperation:
        return None


def as_time(text: str) -> datetime | None:
    """A moment in ISO 8601 or in seconds since the epoch, as policies write it."""
    try:
        if re.fullmatch(r"[0-9]{1,11}", text):
            return datetime.fromtimestamp(int(text), UTC)
        moment = datetime.fromisoformat(text[:40])
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(maxsize=1024)
def as_network(text: str) -> Network | None:
    """An address or a range of them (RFC 4632)."""
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return None


def _in_network(value: str, pattern: Tokens) -> bool:
    network = as_network(_text(pattern))
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return network is not None and address in network


def _same_bool(value: str, pattern: Tokens) -> bool:
    return value.lower() == _text(pattern).lower()


def _same_bytes(value: str, pattern: Tokens) -> bool:
    expected = _text(pattern)
    return _is_base64(expected) and value.encode() in (expected.encode(), base64.b64decode(expected))


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


_ORDERS: Final[Mapping[str, tuple[int, ...]]] = {
    "Equals": (0,),
    "LessThan": (-1,),
    "LessThanEquals": (-1, 0),
    "GreaterThan": (1,),
    "GreaterThanEquals": (0, 1),
}


def _number_order(signs: tuple[int, ...]) -> Compare:
    def compare(value: str, pattern: Tokens) -> bool:
        given, wanted = _as_number(value), _as_number(_text(pattern))
        return given is not None and wanted is not None and (given > wanted) - (given < wanted) in signs

    return compare


def _time_order(signs: tuple[int, ...]) -> Compare:
    def compare(value: str, pattern: Tokens) -> bool:
        given, wanted = as_time(value), as_time(_text(pattern))
        return given is not None and wanted is not None and (given > wanted) - (given < wanted) in signs

    return compare


def _any_text(text: str) -> bool:
    return True


def _is_number(text: str) -> bool:
    return _as_number(text) is not None


def _is_time(text: str) -> bool:
    return as_time(text) is not None


def _is_network(text: str) -> bool:
    return as_network(text) is not None


def is_bool(text: str) -> bool:
    """Whether a text is a truth value as policies write it."""
    return text.lower() in ("true", "false")


def _operators() -> dict[str, Operator]:
    made: list[Operator] = []
    for name, compare, wildcards in (
        ("StringEquals", _equals, False),
        ("StringEqualsIgnoreCase", _equals_ignoring_case, False),
        ("StringLike", _like, True),
        # AWS: ArnEquals and ArnLike behave identically.
        ("ArnEquals", _arn_like, True),
        ("ArnLike", _arn_like, True),
    ):
        negative = name.replace("Equals", "NotEquals").replace("Like", "NotLike")
        for called, negated in ((name, False), (negative, True)):
            made.append(
                Operator(
                    name=called,
                    compare=compare,
                    check=_any_text,
                    negated=negated,
                    wildcards=wildcards,
                    variables=True,
                )
            )
    for suffix, signs in _ORDERS.items():
        made.append(Operator(name=f"Numeric{suffix}", compare=_number_order(signs), check=_is_number))
        made.append(Operator(name=f"Date{suffix}", compare=_time_order(signs), check=_is_time))
    made += [
        Operator(name="NumericNotEquals", compare=_number_order((0,)), check=_is_number, negated=True),
        Operator(name="DateNotEquals", compare=_time_order((0,)), check=_is_time, negated=True),
        Operator(name="Bool", compare=_same_bool, check=is_bool),
        Operator(name="BinaryEquals", compare=_same_bytes, check=_is_base64),
        Operator(name="IpAddress", compare=_in_network, check=_is_network),
        Operator(name="NotIpAddress", compare=_in_network, check=_is_network, negated=True),
    ]
    return {operator.name: operator for operator in made}


OPERATORS: Final[Mapping[str, Operator]] = _operators()
