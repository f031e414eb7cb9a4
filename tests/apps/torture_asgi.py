"""Served by `cargo xtask torture`: ASGI, over HTTP and WebSocket."""

import asyncio
import time

from torture_body import Ask, sockets


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    elif scope["type"] == "websocket":
        sockets.add(id(send))
        try:
            await echo(receive, send)
        finally:
            sockets.discard(id(send))
    else:
        await answer(Ask(scope["path"], scope["query_string"].decode()), receive, send)


async def echo(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": message.get("bytes"), "text": message.get("text")})


async def answer(ask, receive, send):
    if not ask.early:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            ask.feed(message.get("body", b""))
            more = message.get("more_body", False)
            if ask.slowread:
                await asyncio.sleep(ask.slowread / 1000)
        ask.body_ended()
    if ask.wait:
        await asyncio.sleep(ask.wait / 1000)
    if ask.block:
        time.sleep(ask.block / 1000)
    headers = [(name.encode(), value.encode()) for name, value in ask.headers()]
    try:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        pieces = list(ask.answer()) if ask.pieces <= 1 else ask.answer()
        if ask.pieces <= 1:
            await send({"type": "http.response.body", "body": pieces[0] if pieces else b""})
        else:
            for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                if ask.slow:
                    await asyncio.sleep(ask.slow / 1000)
            await send({"type": "http.response.body"})
    except OSError:
        return
    if ask.background:
        await asyncio.sleep(ask.background / 1000)
