"""Where blocking file operations run."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_READERS = 8
_WRITERS = 16
"""A writer mostly waits for fsync, and fsyncs that wait together share one journal commit of the file system:
2,300 files of 4 KiB a second with one thread, 4,000 with 4, 5,500 with 8, 4,900 with 16 on a disk that fsyncs in
0.2 ms. Slower disks gain from more."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Threads:
    """Two pools, so that a read does not queue behind fsyncs."""

    def __init__(self) -> None:
        self._readers = ThreadPoolExecutor(_READERS, "reader")
        self._writers = ThreadPoolExecutor(_WRITERS, "writer")

    def close(self) -> None:
        """Returns when every call under way has ended."""
        self._readers.shutdown()
        self._writers.shutdown()

    def start_reading(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> asyncio.Future[_T]:
        return _start(self._readers, function, *args, **kwargs)

    def start_writing(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> asyncio.Future[_T]:
        return _start(self._writers, function, *args, **kwargs)

    async def read(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await settled(self.start_reading(function, *args, **kwargs))

    async def write(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await settled(self.start_writing(function, *args, **kwargs))


async def settled(future: asyncio.Future[_T]) -> _T:
    """The outcome of a call in a thread; also when cancelled it returns only once the thread is done.

    A thread cannot be stopped: whoever cleans up after a cancellation must not do so under its feet.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise


def _start(pool: Executor, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> asyncio.Future[_T]:
    return asyncio.wrap_future(pool.submit(function, *args, **kwargs))
