"""What a case is: a row of boto3 calls, which may use what earlier calls of the same case answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Stands in an argument for what an earlier call answered: a path of members and list positions."""

    step: int
    path: tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One boto3 call, by the name of the client's method."""

    operation: str
    arguments: Mapping[str, Any]
    #: Sent beside what boto3 sends, before it signs.
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Calls in order. The bucket of the case exists when the first one is made, unless `bucket` is False."""

    calls: Sequence[Call]
    bucket: bool = True


@dataclass(frozen=True, slots=True)
class _Bucket:
    """Stands for the bucket of the case, with a suffix for a second one."""

    suffix: str = ""


#: The bucket of the case; every call but list_buckets gets it where no other is given.
OWN_BUCKET = _Bucket()
OTHER_BUCKET = _Bucket("-other")
MISSING_BUCKET = _Bucket("-missing")


def s3(operation: str, *, headers: Mapping[str, str] | None = None, **arguments: Any) -> Call:
    """A call of the boto3 method `operation`."""
    return Call(operation=operation, arguments=arguments, headers=headers or {})


def put(key: str, body: bytes = b"cairn", **arguments: Any) -> Call:
    return s3("put_object", Key=key, Body=body, **arguments)


def get(key: str, **arguments: Any) -> Call:
    return s3("get_object", Key=key, **arguments)


def head(key: str, **arguments: Any) -> Call:
    return s3("head_object", Key=key, **arguments)


def answered(step: int, *path: str | int) -> Answered:
    """What call number `step` (from 0) answered under `path`."""
    return Answered(step=step, path=path)


def case(*calls: Call) -> Case:
    return Case(calls=calls)


def without_bucket(*calls: Call) -> Case:
    return Case(calls=calls, bucket=False)


def resolve(argument: Any, case_bucket: str, answers: Sequence[Mapping[str, Any]]) -> Any:
    """The argument with stand-ins replaced; KeyError or IndexError when an answer lacks what it names."""
    if isinstance(argument, Answered):
        found: Any = answers[argument.step]
        for member in argument.path:
            found = found[member]
        return found
    if isinstance(argument, dict):
        return {name: resolve(value, case_bucket, answers) for name, value in argument.items()}
    if isinstance(argument, list):
        return [resolve(value, case_bucket, answers) for value in argument]
    return case_bucket + argument.suffix if isinstance(argument, _Bucket) else argument
