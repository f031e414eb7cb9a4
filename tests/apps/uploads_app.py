"""What applications see of uploads that break."""

import asyncio
import sys


def tell(text):
    print(text, file=sys.stderr, flush=True)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await globals()["on_" + scope["path"].strip("/")](receive, send)


START = {"type": "http.response.start", "status": 200, "headers": []}


async def to_the_end(receive):
    """Reads until there is nothing more; what the last event was."""
    while True:
        event = await receive()
        if event["type"] == "http.disconnect" or not event["more_body"]:
            return event["type"]


async def after(send, name):
    try:
        await send(START)
        await send({"type": "http.response.body", "body": b"answered"})
        tell(f"{name} sent")
    except OSError as error:
        tell(f"{name} raised {type(error).__mro__[1].__name__}")


async def on_read(receive, send):
    tell("read begins")
    tell(f"read ended with {await to_the_end(receive)}")
    tell(f"and then {(await receive())['type']}")
    await after(send, "read")


async def on_stream(receive, send):
    """Streams while it receives; several tasks wait for the rest."""
    await send(START)
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    tell("stream begins")
    ends = await asyncio.gather(*[asyncio.create_task(to_the_end(receive)) for _ in range(3)])
    tell(f"stream ended with {ends}")
    try:
        await send({"type": "http.response.body", "body": b"more"})
    except OSError:
        tell("stream raised OSError")


async def on_flood(receive, send):
    """Waits for room to send when the upload breaks."""
    await send(START)
    listening = asyncio.create_task(to_the_end(receive))
    tell("flood begins")
    try:
        while True:
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
    except OSError:
        tell(f"flood raised OSError, {await listening}")


async def on_unread(receive, send):
    """Is busy with something else than the body."""
    tell("unread begins")
    await asyncio.sleep(0.5)
    await after(send, "unread")


async def rsgi(scope, protocol):
    from granian.rsgi import ProtocolClosed

    name = scope.path.strip("/")
    tell(f"{name} begins")
    try:
        if name == "whole":
            await protocol()
        elif name == "pieces":
            async for _ in protocol:
                pass
        elif name == "stream":
            transport = protocol.response_stream(200, [])
            await transport.send_str("begun")
            async for piece in protocol:
                await transport.send_bytes(piece)
        else:
            await asyncio.sleep(0.5)
        tell(f"{name} read all")
    except ProtocolClosed:
        tell(f"{name} raised ProtocolClosed")
    protocol.response_str(200, [], "answered")
