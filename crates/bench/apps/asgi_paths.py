"""ASGI applications for what a server does besides hello: bodies, streams, and handlers that wait."""

import asyncio
import os

OK = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
HELLO = {"type": "http.response.body", "body": b"Hello, world!"}
CHUNK = b"x" * 16384
WHOLE = b"x" * 1_000_000
ECHO_PORT = int(os.environ.get("ECHO_PORT", "0"))

_connections = []


def _http(handler):
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                event = await receive()
                await send({"type": event["type"] + ".complete"})
                if event["type"] == "lifespan.shutdown":
                    return
        await handler(receive, send)

    return app


async def _hello(send):
    await send(OK)
    await send(HELLO)


@_http
async def echo(receive, send):
    """The request's body, sent back whole."""
    pieces, more = [], True
    while more:
        event = await receive()
        pieces.append(event["body"])
        more = event.get("more_body", False)
    await send(OK)
    await send({"type": "http.response.body", "body": b"".join(pieces)})


@_http
async def stream(receive, send):
    """1 MB in chunks of 16 KB."""
    await send(OK)
    for _ in range(64):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@_http
async def whole_1m(receive, send):
    """1 MB in one piece."""
    await send(OK)
    await send({"type": "http.response.body", "body": WHOLE})


@_http
async def sleep_0(receive, send):
    await asyncio.sleep(0)
    await _hello(send)


@_http
async def sleep_1ms(receive, send):
    await asyncio.sleep(0.001)
    await _hello(send)


@_http
async def future(receive, send):
    loop = asyncio.get_running_loop()
    waiting = loop.create_future()
    loop.call_soon(waiting.set_result, None)
    await waiting
    await _hello(send)


@_http
async def executor(receive, send):
    await asyncio.get_running_loop().run_in_executor(None, int)
    await _hello(send)


@_http
async def upstream(receive, send):
    """100 bytes to an echo server and back, over a kept connection."""
    if _connections:
        reader, writer = _connections.pop()
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", ECHO_PORT)
    writer.write(b"x" * 100)
    await reader.readexactly(100)
    _connections.append((reader, writer))
    await _hello(send)


async def websocket(scope, receive, send):
    """Every message of a WebSocket, sent back."""
    if scope["type"] == "lifespan":
        return await echo(scope, receive, send)
    if scope["type"] == "http":
        return await _hello(send)
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        if event.get("bytes") is not None:
            await send({"type": "websocket.send", "bytes": event["bytes"]})
        else:
            await send({"type": "websocket.send", "text": event["text"]})
