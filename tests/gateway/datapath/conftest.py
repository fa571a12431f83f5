"""What holds for every test here: no task may fail unseen."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest


@pytest.fixture(autouse=True)
async def no_unseen_failures() -> AsyncIterator[None]:
    """Fails a test in which a task or callback failed and nobody looked."""
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    yield
    gc.collect()
    await asyncio.sleep(0)
    assert not unseen
