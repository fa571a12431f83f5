"""The one thread that changes the journal of a node: appends that wait while an fsync runs share the next."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from storagenode.errors import NodeError, NodeFailed
from storagenode.journal.store import Append, JournalStore

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")


@dataclass(slots=True, kw_only=True)
class _Change:
    """One change that waits: an append, or a call of anything else."""

    append: Append | None = None
    call: Callable[[], Any] | None = None
    done: "Future[Any]" = field(default_factory=Future)


class JournalWriter:
    """Takes changes from any thread and makes them in the order in which they came."""

    def __init__(self, store: JournalStore) -> None:
        self._store = store
        self._changed = threading.Condition()
        self._waiting: deque[_Change] = deque()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def append(self, append: Append) -> "Future[int]":
        """The last durable sequence of the segment, once there is one that includes these entries."""
        return self._submit(_Change(append=append))

    def run(self, call: Callable[[], _Result]) -> "Future[_Result]":
        """What `call`, a change of the store, returns or raises."""
        return self._submit(_Change(call=call))

    def close(self) -> None:
        """Returns when everything that came before is done; what comes later fails."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _submit(self, change: _Change) -> "Future[Any]":
        with self._changed:
            if self._closed:
                change.done.set_exception(NodeFailed("the node is stopping"))
            else:
                self._waiting.append(change)
                self._changed.notify()
        return change.done

    def _run(self) -> None:
        while changes := self._take():
            appends: list[_Change] = []
            for change in changes:
                if change.append is not None:
                    appends.append(change)
                    continue
                self._append(appends)
                appends = []
                self._call(change)
            self._append(appends)

    def _take(self) -> list[_Change]:
        """All that waits, at least one; nothing when the writer is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            taken = [change for change in self._waiting if change.done.set_running_or_notify_cancel()]
            self._waiting.clear()
        return taken or ([] if self._closed else self._take())

    def _append(self, changes: Sequence[_Change]) -> None:
        if not changes:
            return
        try:
            outcomes = self._store.append_all([change.append for change in changes if change.append is not None])
        except Exception as error:  # noqa: BLE001 - a thread that ended would leave everybody waiting
            _log.exception("the journal failed")
            outcomes = [NodeFailed(repr(error)) for _ in changes]
        for change, outcome in zip(changes, outcomes, strict=True):
            if isinstance(outcome, NodeError):
                change.done.set_exception(outcome)
            else:
                change.done.set_result(outcome)

    def _call(self, change: _Change) -> None:
        assert change.call is not None
        try:
            result = change.call()
        except Exception as error:  # noqa: BLE001 - its caller's to handle
            change.done.set_exception(error)
        else:
            change.done.set_result(result)
