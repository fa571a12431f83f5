"""Liveness and readiness, for supervisors, container health checks and load balancers."""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.index.errors import IndexFailure, IndexNotOpen
from gateway.journal.state import Phase

#: A readiness check that takes longer than this is a no, in seconds.
CHECK_TIMEOUT_S = 2.0


async def live(request: Request) -> JSONResponse:
    """200 as long as the process answers at all."""
    return JSONResponse({"status": "live"})


async def ready(request: Request) -> JSONResponse:
    """200 when the index is open, its journal gets on and enough nodes are live for a write; else 503 and why not."""
    services = request.app.state.services
    reasons: list[str] = []
    not_open = ""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await services.membership.refresh()
            await services.journal.check_open()
    except IndexNotOpen as error:
        not_open = str(error)
    except (TimeoutError, IndexFailure):
        reasons.append("the index does not answer")
    condition = services.journal.condition
    if condition.phase is not Phase.OPEN:
        reasons.append(condition.reason)
    elif not_open:  # the journal has not noticed yet
        reasons.append(not_open)
    live_count = len(services.membership.live_nodes())
    wanted = services.settings.replicas_for(len(services.membership.expected_nodes()))
    if live_count < wanted // 2 + 1:
        reasons.append(f"{live_count} storage nodes are live, a write needs {wanted // 2 + 1}")
    if reasons:
        return JSONResponse({"status": "not ready", "reasons": reasons}, status_code=503)
    return JSONResponse({"status": "ready"})


ROUTES = [Route("/live", live), Route("/ready", ready)]
