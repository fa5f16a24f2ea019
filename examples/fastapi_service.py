"""An asyncio service with FastAPI that needs another service's API, and says so when it has to do without.

    echo '{"USD": 1.08}' > rates.json && python -m http.server 9000 &
    python examples/fastapi_service.py
    curl localhost:8000/convert/100

Stop the other server and ask again: the amount is converted by the last rates, and the answer says how old they are.
Start it again, and within a second or so they are fresh.
"""

import asyncio
import contextlib
import os
from typing import Any

import fastapi
import httpx
import uvicorn

import upright
from upright.strategies.fallback import CachedData, FallbackChain
from upright.strategies.healing import ApiRetry

RATES_URL = os.environ.get("RATES_URL", "http://127.0.0.1:9000/rates.json")
client = httpx.AsyncClient(timeout=2)
last_answer = CachedData(max_age=3600)
STRATEGIES = [
    ApiRetry(client, resource="rates-api", verify=RATES_URL),  # waits until the API answers again, and proves it
    FallbackChain("rates", [last_answer]),
]


@contextlib.asynccontextmanager
async def lifespan(_app):
    """One tree per worker process. Booting and stopping wait for threads, so they happen beside the loop."""
    tree = await asyncio.to_thread(upright.boot, {"healing": {"heal_wait": 0.5}}, strategies=STRATEGIES, name="rates")
    try:
        yield
    finally:
        await asyncio.to_thread(tree.stop)
        await client.aclose()


app = fastapi.FastAPI(lifespan=lifespan)


@upright.protect("rates", resource="rates-api")
@last_answer.remembering
async def rates():
    """Ask the other service. Runs in the request's own task; cancelling the request cancels it."""
    return (await client.get(RATES_URL)).raise_for_status().json()


@app.get("/convert/{amount}")
async def convert(amount: float) -> Any:
    """Convert euros. `call_async` raises nothing: it returns the value together with how it was come by."""
    result = await upright.call_async("rates", rates)
    if result.value is None:
        wait = str(max(1, round(result.wait_time)))
        return fastapi.responses.JSONResponse({"detail": "no rates"}, 503, {"Retry-After": wait})
    return {"dollars": round(amount * result.value["USD"], 2), "rates": result.degradation or "fresh"}


@app.get("/health")
async def health():
    """Whether the process is well. A dependency that is away does not make it unwell: restarting would not help."""
    return {"upright": str(upright.status().state)}


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")), log_level="warning")
