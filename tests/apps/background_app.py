"""Applications that go on after their responses: raw ASGI, Starlette and FastAPI."""

import asyncio
import sys
import threading
import time
from urllib.parse import parse_qs

import fastapi
from starlette.applications import Starlette
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import FileResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route


def tell(text):
    print(text, file=sys.stderr, flush=True)


def sync_work(name, seconds):
    time.sleep(seconds)
    tell(f"done {name}")


async def async_work(name, seconds):
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        tell(f"cancelled {name}")
        raise
    tell(f"done {name}")


async def failing_work():
    await asyncio.sleep(0.01)
    raise ConnectionRefusedError("background work failed on purpose")


def seconds_of(request):
    return float(request.query_params.get("seconds", 0.3))


async def starlette_both(request):
    tasks = BackgroundTasks()
    tasks.add_task(async_work, "starlette async", seconds_of(request))
    tasks.add_task(sync_work, "starlette sync", seconds_of(request))
    return PlainTextResponse("answered", background=tasks)


async def starlette_fails(request):
    return PlainTextResponse("answered", background=BackgroundTask(failing_work))


async def pieces():
    for _ in range(5):
        await asyncio.sleep(0.01)
        yield b"piece"
    # The client has all that was announced by now, and the server has let go of it.
    await asyncio.sleep(0.2)


async def starlette_stream(request):
    headers = {"content-length": "25"} if "exact" in request.query_params else {}
    work = BackgroundTask(async_work, f"stream {request.method} {request.url.query}", 0.1)
    return StreamingResponse(pieces(), headers=headers, background=work)


async def starlette_file(request):
    return FileResponse(__file__, background=BackgroundTask(async_work, f"file {request.method}", 0.1))


class PassesOn(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        response = await call_next(request)
        response.headers["x-middleware"] = "passed"
        return response


routes = [
    Route("/both", starlette_both),
    Route("/fails", starlette_fails),
    Route("/stream", starlette_stream),
    Route("/file", starlette_file),
]
with_starlette = Starlette(routes=routes)
with_starlette.add_middleware(PassesOn)
with_fastapi = fastapi.FastAPI()


@with_fastapi.get("/fastapi/sync")
def fastapi_sync(tasks: fastapi.BackgroundTasks, seconds: float = 0.3):
    tasks.add_task(sync_work, "fastapi sync", seconds)
    return "answered"


@with_fastapi.get("/fastapi/thread")
def fastapi_thread():
    return threading.get_native_id()


@with_fastapi.get("/fastapi/async")
async def fastapi_async(tasks: fastapi.BackgroundTasks, seconds: float = 0.3):
    tasks.add_task(async_work, "fastapi async", seconds)
    return "answered"


async def raw_work(scope, receive, send):
    """Goes on at once, or after it was suspended."""
    query = parse_qs(scope["query_string"].decode())
    if "late" in query:
        await asyncio.sleep(0.01)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"answered"})
    await async_work(f"raw {query.get('name', [''])[0]}", float(query["seconds"][0]))


async def raw_exact(scope, receive, send):
    """Sends what it announced, and its last event when the server has dropped the response."""
    assert (await receive())["more_body"] is False
    listening = asyncio.create_task(receive())
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
    for _ in range(2):
        await send({"type": "http.response.body", "body": b"12345", "more_body": True})
        await asyncio.sleep(0.1)
    assert not listening.done(), listening
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    await send({"type": "http.response.body", "body": b""})
    tell(f"sent to the end, then {(await listening)['type']}")


async def raw_endless(scope, receive, send):
    """A stream without an end and without a pause, which somebody asked for with HEAD."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        while True:
            await send({"type": "http.response.body", "body": bytes(10_000), "more_body": True})
    except OSError:
        tell("the endless stream ends")


async def raw_pid(scope, receive, send):
    import os

    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


async def raw_gone(scope, receive, send):
    """Works on although its client disconnected before the response."""
    tell("works for somebody")
    while (await receive())["type"] != "http.disconnect":
        pass
    await async_work("for nobody", 1)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            await send({"type": event["type"] + ".complete"})
            if event["type"] == "lifespan.shutdown":
                return tell("shut down")
    if raw := globals().get("raw_" + scope["path"].strip("/")):
        return await raw(scope, receive, send)
    framework = with_fastapi if scope["path"].startswith("/fastapi") else with_starlette
    await framework(scope, receive, send)


async def rsgi(scope, protocol):
    query = parse_qs(scope.query_string)
    if scope.path == "/work":
        protocol.response_str(200, [], "answered")
        return await async_work(f"rsgi {query.get('name', [''])[0]}", float(query["seconds"][0]))
    if scope.path == "/endless":
        from granian.rsgi import ProtocolClosed

        transport = protocol.response_stream(200, [])
        try:
            while True:
                await transport.send_bytes(bytes(10_000))
        except ProtocolClosed:
            return tell("the endless stream ends")
    transport = protocol.response_stream(200, [("content-length", "10")])
    for _ in range(2):
        await transport.send_bytes(b"12345")
        await asyncio.sleep(0.1)
    await transport.send_bytes(b"")
    tell("sent to the end")
    raise ConnectionRefusedError("background work failed on purpose")
