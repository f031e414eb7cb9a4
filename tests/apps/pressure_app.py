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
    except OSError:
        tell(f"flooding ended, {(await receive())['code']}")


async def on_stuff(receive, send):
    """Sends until a message has waited for its client for a second, and tells what became of that one."""
    while True:
        sending = asyncio.ensure_future(send({"type": "websocket.send", "bytes": bytes(4000)}))
        if not (await asyncio.wait([sending], timeout=1))[0]:
            break
    tell("stuffed")
    try:
        await sending
    except OSError as error:
        tell(f"a message was not sent: {error}")


async def on_tick(receive, send):
    """Sends without end to a client that reads, and receives nothing."""
    try:
        while True:
            await send({"type": "websocket.send", "text": "tick"})
            await asyncio.sleep(0.01)
    except Exception as error:
        tell(f"ticking ended, {isinstance(error, OSError)}")
        try:
            await send({"type": "websocket.close"})
        except Exception as error:
            tell(f"closing ended, {isinstance(error, OSError)}")


async def on_after(receive, send):
    """Goes on when its client is gone."""
    tell((await receive())["type"])
    await asyncio.sleep(2)
    tell("cleaned up")
