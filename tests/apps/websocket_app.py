"""What the WebSocket tests ask for."""

import asyncio
import sys


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        return await send({"type": "http.response.body", "body": b"plain"})
    assert scope["type"] == "websocket" and "method" not in scope and scope["scheme"] == "ws"
    await globals()["on_" + scope["path"].strip("/")](scope, receive, send)


async def accept(receive, send, **more):
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept", **more})


async def on_echo(scope, receive, send):
    await accept(receive, send, headers=[(b"x-served-by", b"echo")])
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            print(f"disconnected {event['code']} {event['reason']!r}", file=sys.stderr, flush=True)
            again = await receive()
            assert again["type"] == "websocket.disconnect"
            try:
                await send({"type": "websocket.send", "text": "too late"})
            except OSError:
                print("sending raised OSError", file=sys.stderr, flush=True)
            return
        await send({"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")})


async def on_subprotocol(scope, receive, send):
    extension = (b"sec-websocket-extensions", b"permessage-deflate")
    await accept(receive, send, subprotocol=scope["subprotocols"][-1], headers=[extension])
    await send({"type": "websocket.close", "code": 4001, "reason": "done"})
    print(f"then {(await receive())}", file=sys.stderr, flush=True)


async def on_refuse(scope, receive, send):
    await receive()
    await send({"type": "websocket.close"})


async def on_deny(scope, receive, send):
    await receive()
    assert "websocket.http.response" in scope["extensions"]
    headers = [(b"content-type", b"text/plain"), (b"x-why", b"because")]
    await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"not ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"you"})


async def on_misdeny(scope, receive, send):
    """Denies with a body of another length than announced."""
    await receive()
    headers = [(b"content-length", b"5")]
    await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": scope["query_string"]})


async def on_patient(scope, receive, send):
    """Waits for its client before it accepts."""
    await receive()
    print("waits", file=sys.stderr, flush=True)
    print(f"left {(await receive())['code']}", file=sys.stderr, flush=True)


async def on_undecided(scope, receive, send):
    """Takes long to accept."""
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        print("the handshake was cancelled", file=sys.stderr, flush=True)
        raise


async def on_raise(scope, receive, send):
    await accept(receive, send)
    await receive()
    raise RuntimeError("raised in a websocket on purpose")


async def on_early(scope, receive, send):
    raise RuntimeError("raised before accept on purpose")


async def on_flood(scope, receive, send):
    """Sends more than anybody buffers; counts how far it got."""
    await accept(receive, send)
    sent = 0
    while sent < 2000:
        try:
            await asyncio.wait_for(send({"type": "websocket.send", "bytes": bytes(65536)}), 2)
        except asyncio.TimeoutError:
            break
        sent += 1
    print(f"flooded {sent}", file=sys.stderr, flush=True)


async def on_wait(scope, receive, send):
    await accept(receive, send)
    event = await receive()
    print(f"told {event['code']}", file=sys.stderr, flush=True)
