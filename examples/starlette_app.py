"""A small Starlette service: hostler starlette_app:app --workers 2"""

import json
import os

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route


async def home(request):
    return PlainTextResponse("ok: service is running")


async def echo(request):
    try:
        return JSONResponse(await request.json())
    except json.JSONDecodeError:
        return JSONResponse({"message": "failed JSON message"})


async def pid(request):
    return PlainTextResponse(str(os.getpid()))


async def busy(request):
    """Computes without a pause, so that this worker can do nothing else."""
    total = 0
    for number in range(int(request.query_params.get("rounds", 20_000_000))):
        total += number
    return PlainTextResponse(str(total))


app = Starlette(
    routes=[
        Route("/", home),
        Route("/echo", echo, methods=["POST"]),
        Route("/pid", pid),
        Route("/busy", busy),
    ]
)
