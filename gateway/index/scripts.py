"""Loads the Lua scripts: each is a file of this directory behind the parts that it shares with others.

A script's file begins with `-- uses: part part …`, naming those parts (files too) in order. A first line `#!lua …`
carries flags for the server and stays the first line. One that uses the prelude becomes a function, which the
epilogue calls: every script replies `{reply, number of the change that must be durable first}`.
"""

from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files

_USES = "-- uses:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A server-side script; `digest` is the name under which the server caches it."""

    name: str
    text: str
    digest: str
    takes_cause: bool = False
    """Whether it wants to be told, behind its arguments, why it runs (cause.py)."""


def load_script(name: str) -> Script:
    """The script of that name, assembled. Raises FileNotFoundError, ValueError (no `uses` line)."""
    first, *rest = _read(name).splitlines()
    flags = [first] if first.startswith("#!") else []
    uses, *body = rest if flags else [first, *rest]
    if not uses.startswith(_USES):
        raise ValueError(f"{name}.lua does not say what it uses")
    names = uses.removeprefix(_USES).split()
    if "prelude" in names:
        body = ["local function script()", *body, "end", _read("epilogue")]
    text = "\n".join([*flags, *[_read(name) for name in names], *body])
    digest = sha1(text.encode(), usedforsecurity=False).hexdigest()
    return Script(name=name, text=text, digest=digest, takes_cause="prelude" in names)


def _read(name: str) -> str:
    return files(__package__).joinpath(f"{name}.lua").read_text(encoding="utf-8")
