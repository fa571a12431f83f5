"""Decides whether a request comes from a holder of the secret, and comes for the first time.

To remember every nonce of the time window would take memory without bound, so a nonce is a session and a
sequence number: for each session only the highest number seen and the numbers seen shortly below it are
kept (as IPsec does against replay, RFC 4303 section 3.4.3). A restart forgets them; therefore nothing is
accepted that was signed before this process started.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from storagenode.errors import NodeRefused
from storagenode.protocol import CLOCK_SKEW_MS, RequestToSign, is_authentic, parse_authorization

SEQUENCE_WINDOW = 1 << 14
"""How far a request may be overtaken by later ones of its session; older numbers count as seen."""

SESSION_LIMIT = 4096
"""A session is one client process; those of the last ten minutes are remembered, at most 3 MiB each."""


@dataclass(slots=True, kw_only=True)
class _Session:
    highest: int = -1
    seen: set[int] = field(default_factory=set)  # numbers above highest - SEQUENCE_WINDOW, and some below
    last_signed_ms: int = 0


class RequestGuard:
    """Used from one thread. `clock_ms` gives Unix milliseconds."""

    def __init__(self, secret: bytes, node_id: str, *, clock_ms: Callable[[], int]) -> None:
        if not secret:
            raise ValueError("a node without a secret would serve anybody")
        self.node_id = node_id
        self._secret = secret
        self._clock_ms = clock_ms
        self._started_ms = clock_ms()
        self._sessions: dict[str, _Session] = {}

    def check(self, authorization: str | None, request: RequestToSign) -> None:
        """Return if the request may be served; it counts as seen from then on. Raises NodeRefused."""
        claim = parse_authorization(authorization or "")
        if claim is None:
            raise NodeRefused("no authorization")
        if not is_authentic(self._secret, request, claim):
            raise NodeRefused("wrong signature")
        if abs(self._clock_ms() - claim.timestamp_ms) > CLOCK_SKEW_MS:
            raise NodeRefused("signed too long ago or in the future")
        if claim.timestamp_ms < self._started_ms:
            raise NodeRefused("signed before this node started")
        self._note(self._session(claim.session), claim.sequence)
        session = self._sessions[claim.session]
        session.last_signed_ms = max(session.last_signed_ms, claim.timestamp_ms)

    def _session(self, name: str) -> _Session:
        session = self._sessions.get(name)
        if session is None:
            if len(self._sessions) >= SESSION_LIMIT:
                self._forget_old_sessions()
            if len(self._sessions) >= SESSION_LIMIT:
                raise NodeRefused("too many sessions")
            session = self._sessions[name] = _Session()
        return session

    def _note(self, session: _Session, sequence: int) -> None:
        if sequence <= session.highest - SEQUENCE_WINDOW or sequence in session.seen:
            raise NodeRefused("seen before")
        session.seen.add(sequence)
        session.highest = max(session.highest, sequence)
        if len(session.seen) > 2 * SEQUENCE_WINDOW:
            floor = session.highest - SEQUENCE_WINDOW
            session.seen = {number for number in session.seen if number > floor}

    def _forget_old_sessions(self) -> None:
        """A session may be forgotten once the timestamps of all its requests are refused anyway."""
        oldest_ms = self._clock_ms() - CLOCK_SKEW_MS
        self._sessions = {
            name: session for name, session in self._sessions.items() if session.last_signed_ms >= oldest_ms
        }
