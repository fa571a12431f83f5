"""Why requests were refused, for a day: no part of the state, and lost with the server without harm."""

from collections.abc import Sequence

from gateway.index import keys
from gateway.index.base import IndexBase, accepted
from gateway.index.scripts import load_script

KEPT_MS = 24 * 3600 * 1000
MOST_KEPT = 10_000

_PUT = load_script("put_explanations")


class ExplanationIndex(IndexBase):
    """The part of the index that remembers refused requests. What an explanation says is opaque here."""

    async def put_explanations(
        self, explanations: Sequence[tuple[str, bytes]], *, kept_ms: int = KEPT_MS, most: int = MOST_KEPT
    ) -> None:
        """Keep explanations by request id, and forget the old and what exceeds `most`. Raises IndexUnavailable."""
        names = (keys.sequence(), keys.explanations(), keys.explanation_times())
        arguments = [argument for one in explanations for argument in one]
        accepted(await self._connection.transient(_PUT, names, (kept_ms, most, *arguments)), "explanations")

    async def get_explanation(self, request_id: str) -> bytes | None:
        """The explanation of a refused request, None where there is none (any more). Raises IndexUnavailable."""
        stored: bytes | None = await self._connection.command("HGET", keys.explanations(), request_id)
        return stored
