"""What a browser needs for a page that fetches and has a WebSocket; it prints what the page reports.

What arrives of its fetches is a line each in the file SEEN.
"""

import asyncio
import os
import sys

SEEN = os.open(os.environ["SEEN"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


async def app(scope, receive, send):
    if scope["type"] == "http":
        await respond(scope, receive, send)
    elif scope["type"] == "websocket":
        await echo(scope, receive, send)


async def respond(scope, receive, send):
    os.write(SEEN, scope["query_string"] + b"\n")
    body = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    if scope["path"] == "/report":
        print("the page:", body.decode(), file=sys.stderr, flush=True)
    # So that fetches are under way while workers are replaced.
    await asyncio.sleep(0.02)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"no-store")]})
    await send({"type": "http.response.body", "body": scope["query_string"] + body})


async def echo(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "HTTP/" + scope["http_version"]})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})
