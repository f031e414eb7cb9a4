"""WebSockets between applications that do not receive and clients that do not read."""

import asyncio
import sys


def tell(text):
    print(text, file=sys.stderr, flush=True)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await receive()
    await send({"type": "websocket.accept"})
    await globals()["on_" + scope["path"].strip("/")](receive, send)


async def on_deaf(receive, send):
    """Receives nothing for longer than pings may take, then everything."""
    await asyncio.sleep(5)
    sizes = [len((await receive())["bytes"]) for _ in range(200)]
    await send({"type": "websocket.send", "text": f"{len(sizes)} {sum(sizes)}"})
    tell(f"then {(await receive())['code']}")


async def on_never(receive, send):
    """Receives nothing at all."""
    await asyncio.get_running_loop().create_future()


async def on_flood(receive, send):
    """Sends without end to a client that may not read."""
    tell("floods")
    try:
        while True:
            await send({"type": "websocket.send", "bytes": bytes(65536)})
    except (OSError, RuntimeError):
        # The one is raised in a `send` that waited, the other in one after the end.
        tell(f"flooding ended, {(await receive())['code']}")


async def on_after(receive, send):
    """Goes on when its client is gone."""
    tell((await receive())["type"])
    await asyncio.sleep(2)
    tell("cleaned up")
