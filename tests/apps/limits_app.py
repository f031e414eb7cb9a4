"""Requests that last until they are released: ASGI, WSGI and RSGI read bodies, ASGI can hold."""

import asyncio
import sys
import time

released = asyncio.Event()


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    text = b""
    if scope["path"] == "/hold":
        print("holds", file=sys.stderr, flush=True)
        await released.wait()
        text = b"held"
    elif scope["path"] == "/block":
        print("blocks", file=sys.stderr, flush=True)
        time.sleep(2)
    elif scope["path"] == "/release":
        released.set()
    elif scope["path"] == "/read":
        more = True
        while more:
            event = await receive()
            if event["type"] == "http.disconnect":
                print("told of a disconnect", file=sys.stderr, flush=True)
                raise RuntimeError("the client is gone")
            text += event.get("body", b"")
            more = event.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text})


def wsgi(environ, start_response):
    try:
        text = environ["wsgi.input"].read()
    except OSError as error:
        print("told of", error, file=sys.stderr, flush=True)
        raise
    start_response("200 OK", [])
    return [text]


class Rsgi:
    async def __rsgi__(self, scope, protocol):
        try:
            text = await protocol()
        except Exception as error:
            print("told of", type(error).__name__, file=sys.stderr, flush=True)
            raise
        protocol.response_bytes(200, [], text)


rsgi = Rsgi()
