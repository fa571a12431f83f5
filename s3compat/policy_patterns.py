"""Texts of a policy with wildcards and variables, matched in linear memory and at most quadratic time. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html

`*` is any run of characters and `?` any one; `${key}` stands for a value of the request, `${key, 'default'}` for that
or the default, and `${*}`, `${?}`, `${$}` for those characters themselves. What a variable brings in matches itself
only: a user may be called `*`.
"""

import re
from collections.abc import Callable, Sequence
from enum import Enum
from functools import lru_cache
from typing import Final

#: The values that a request has for a key (lower case), None where it has none.
Values = Callable[[str], Sequence[str] | None]


class Wild(Enum):
    """A character of a pattern that stands for others."""

    ANY = "*"
    ONE = "?"


Token = str | Wild
Tokens = tuple[Token, ...]

_VARIABLE: Final = re.compile(r"\$\{([^{}]{1,200})\}")
_DEFAULTED: Final = re.compile(r"([^,]+?)\s*,\s*'([^']*)'\s*\Z")
_LITERALS: Final = frozenset("*?$")
_WILDS: Final = {"*": Wild.ANY, "?": Wild.ONE}


@lru_cache(maxsize=4096)
def wildcard_tokens(text: str) -> Tokens:
    """A pattern without variables."""
    return tuple([_WILDS.get(character, character) for character in text])


def literal_tokens(text: str) -> Tokens:
    """A text in which nothing stands for anything else."""
    return tuple(text)


def has_variables(text: str) -> bool:
    """Whether a text refers to values of the request."""
    return "${" in text


def expand(text: str, values: Values, *, wildcards: bool) -> Tokens | None:
    """A pattern with its variables filled in; None where the request has not exactly one value for one of them."""
    tokens: list[Token] = []
    plain = wildcard_tokens if wildcards else literal_tokens
    at = 0
    for match in _VARIABLE.finditer(text):
        tokens += plain(text[at : match.start()])
        value = _value_of(match.group(1), values)
        if value is None:
            return None
        tokens += value
        at = match.end()
    tokens += plain(text[at:])
    return tuple(tokens)


def _value_of(name: str, values: Values) -> str | None:
    if name in _LITERALS:
        return name
    default = None
    if (defaulted := _DEFAULTED.match(name)) is not None:
        name, default = defaulted.group(1), defaulted.group(2)
    found = values(name.strip().lower())
    if not found:
        return default
    return found[0] if len(found) == 1 else None


def matches(tokens: Tokens, text: str) -> bool:
    """Whether a whole text is of the pattern. Goes back to the last `*` only: at most len(tokens) x len(text) steps."""
    at = position = 0
    star = resume = -1
    while position < len(text):
        token = tokens[at] if at < len(tokens) else None
        if token is Wild.ANY:
            star, resume = at, position
            at += 1
        elif token is Wild.ONE or token == text[position]:
            at += 1
            position += 1
        elif star >= 0:
            resume += 1
            at, position = star + 1, resume
        else:
            return False
    return all(token is Wild.ANY for token in tokens[at:])


def matches_wildcards(pattern: str, text: str) -> bool:
    """Whether a text is of a pattern without variables."""
    return pattern == "*" or matches(wildcard_tokens(pattern), text)
