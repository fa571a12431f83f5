"""The policy of a POST form: its document, what it demands of the fields, and who signed it. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-authentication-HTTPPOST.html

Field names are compared without case, so the fields that are given here have their names in lower case.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from s3compat.errors import S3Error
from s3compat.scalars import read_iso_timestamp

Fields = Mapping[str, str]

#: Fields that no condition needs to name: they carry the policy and prove it, or are what it is about.
_UNCONDITIONED: Final = frozenset({"policy", "x-amz-signature", "file", "awsaccesskeyid", "signature"})
_POLICY: Final = "policy"
_IGNORED_PREFIX: Final = "x-ignore-"
_LENGTH_RANGE: Final = "content-length-range"
_SIZE_DIGITS_LIMIT: Final = 19


class Operator(StrEnum):
    """How a condition compares a field."""

    EQUALS = "eq"
    STARTS_WITH = "starts-with"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What one field must be. `shown` is the condition as S3 repeats it in its error."""

    operator: Operator
    field: str
    value: str
    shown: str

    def holds(self, fields: Fields) -> bool:
        """Whether the form meets it; a field that is absent meets nothing."""
        given = fields.get(self.field)
        if given is None:
            return False
        if self.operator is Operator.EQUALS:
            return given == self.value
        if self.field == "content-type":
            # AWS: a value with commas is a list, and each of its members must meet the condition.
            return all(one.strip().startswith(self.value) for one in given.split(","))
        return given.startswith(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthRange:
    """The sizes in bytes that a file may have, both ends included; no largest size is None."""

    lowest: int = 0
    highest: int | None = None

    def check_so_far(self, size_bytes: int) -> None:
        """Raise EntityTooLarge when a file of which this much has come is too large already."""
        if self.highest is not None and size_bytes > self.highest:
            raise S3Error("EntityTooLarge", ProposedSize=str(size_bytes), MaxSizeAllowed=str(self.highest))

    def check(self, size_bytes: int) -> None:
        """Raise EntityTooLarge or EntityTooSmall for a whole file."""
        self.check_so_far(size_bytes)
        if size_bytes < self.lowest:
            raise S3Error("EntityTooSmall", ProposedSize=str(size_bytes), MinSizeAllowed=str(self.lowest))

    def within(self, other: "LengthRange") -> "LengthRange":
        """Both ranges at once."""
        highest = [end for end in (self.highest, other.highest) if end is not None]
        return LengthRange(lowest=max(self.lowest, other.lowest), highest=min(highest) if highest else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostPolicy:
    """A policy document; `expiration` is UTC-aware."""

    expiration: datetime
    conditions: tuple[Condition, ...]
    length_range: LengthRange

    def check(self, fields: Fields, now: datetime) -> None:
        """Raise AccessDenied when it has expired, when a condition fails, or when a field has no condition."""
        if now >= self.expiration:
            raise _denied("Policy expired.")
        for condition in self.conditions:
            if not condition.holds(fields):
                raise _denied(f"Policy Condition failed: {condition.shown}")
        named = {condition.field for condition in self.conditions}
        extra = [
            name
            for name in fields
            if name not in named and name not in _UNCONDITIONED and not name.startswith(_IGNORED_PREFIX)
        ]
        if extra:
            raise _denied(f"Extra input fields: {', '.join(sorted(extra))}")


def check_form(fields: Fields, now: datetime) -> LengthRange:
    """Hold a form against its policy, if it has one; the sizes that its file may have.

    Raises InvalidPolicyDocument, AccessDenied.
    """
    if _POLICY not in fields:
        return LengthRange()
    policy = parse_policy(fields[_POLICY])
    policy.check(fields, now)
    return policy.length_range


def parse_policy(encoded: str) -> PostPolicy:
    """Read the policy field, base64 of JSON. Raises InvalidPolicyDocument."""
    document = _document(encoded)
    for name in document:
        if name not in ("expiration", "conditions"):
            raise _invalid(f"Unexpected: '{name}'")
    if "expiration" not in document:
        raise _invalid("Policy missing expiration.")
    expiration = document["expiration"]
    moment = read_iso_timestamp(expiration) if isinstance(expiration, str) else None
    if moment is None or not isinstance(expiration, str) or "T" not in expiration:
        raise _invalid(f"Invalid 'expiration' value: '{expiration}'")
    if "conditions" not in document:
        raise _invalid("Policy missing conditions.")
    if not isinstance(document["conditions"], list):
        raise _invalid("Invalid 'conditions' value: must be a List.")
    conditions: list[Condition] = []
    length_range = LengthRange()
    for raw in document["conditions"]:
        parsed = _condition(raw)
        if isinstance(parsed, LengthRange):
            length_range = length_range.within(parsed)
        else:
            conditions.append(parsed)
    return PostPolicy(expiration=moment, conditions=tuple(conditions), length_range=length_range)


def _document(encoded: str) -> dict[str, Any]:
    try:
        # Forms break long values into lines.
        text = base64.b64decode("".join(encoded.split()), validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as malformed:
        raise _invalid("invalid Base64 encoding.") from malformed
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as malformed:
        raise _invalid("Invalid JSON.") from malformed
    if not isinstance(document, dict):
        raise _invalid("Invalid JSON.")
    return document


def _condition(raw: Any) -> Condition | LengthRange:
    if isinstance(raw, dict):
        if len(raw) != 1:
            raise _invalid("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
        ((name, value),) = raw.items()
        if not isinstance(value, str):
            raise _invalid("Invalid Simple-Condition: value must be a string.")
        return _comparison(Operator.EQUALS, f"${name}", value)
    if not isinstance(raw, list):
        raise _invalid("Invalid condition test: must be a List or Object.")
    if not raw or not isinstance(raw[0], str):
        raise _invalid("Invalid Condition: missing operation identifier.")
    operation = raw[0].lower()
    if operation not in (*Operator, _LENGTH_RANGE):
        raise _invalid(f"Invalid Condition: unknown operation '{raw[0]}'.")
    if len(raw) != 3:
        raise _invalid(f"Invalid {raw[0]}: wrong number of arguments.")
    if operation == _LENGTH_RANGE:
        return LengthRange(lowest=_size(raw[1]), highest=_size(raw[2]))
    if not isinstance(raw[1], str) or not isinstance(raw[2], str) or not raw[1].startswith("$"):
        raise _invalid(f"Invalid {raw[0]}: arguments must be a field ('$name') and a string.")
    return _comparison(Operator(operation), raw[1], raw[2])


def _comparison(operator: Operator, name: str, value: str) -> Condition:
    shown = json.dumps([operator.value, name, value], ensure_ascii=False)
    return Condition(operator=operator, field=name[1:].lower(), value=value, shown=shown)


def _size(raw: Any) -> int:
    if isinstance(raw, str) and raw.isascii() and raw.isdigit() and len(raw) <= _SIZE_DIGITS_LIMIT:
        return int(raw)
    if isinstance(raw, int) and not isinstance(raw, bool) and raw >= 0:
        return raw
    raise _invalid(f"Invalid {_LENGTH_RANGE}: arguments must be numbers of bytes.")


def _invalid(detail: str) -> S3Error:
    return S3Error("InvalidPolicyDocument", f"Invalid Policy: {detail}")


def _denied(detail: str) -> S3Error:
    return S3Error("AccessDenied", f"Invalid according to Policy: {detail}")
