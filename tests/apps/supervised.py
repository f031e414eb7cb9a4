"""What the supervision tests ask for: an application that is slow to import, hangs, grows and reports its process."""

import asyncio
import os
import sys
import time

time.sleep(float(os.environ.get("IMPORT_SECONDS", "0")))

HELD = []


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    name, _, argument = scope["path"].strip("/").partition("/")
    if name == "extended":
        return await on_extended(scope, argument, send)
    await globals()["on_" + name](argument, receive, send)


async def lifespan(receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def answer(send, text):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(text).encode()})


async def on_pid(argument, receive, send):
    await answer(send, os.getpid())


async def on_who(argument, receive, send):
    version = os.environ.get("VERSION", "none")
    await answer(send, f"{os.environ['HOSTLER_WORKER']} {os.environ['HOSTLER_GENERATION']} {version} {os.getuid()}")


async def on_block(argument, receive, send):
    """Blocks the event loop."""
    print("blocks now", file=sys.stderr, flush=True)
    time.sleep(float(argument))
    await answer(send, "blocked")


async def on_spin(argument, receive, send):
    """Holds the GIL, inside of one call in C."""
    await answer(send, sum(range(int(argument))))


async def on_wait(argument, receive, send):
    await asyncio.sleep(float(argument))
    await answer(send, "waited")


async def on_extended(scope, argument, send):
    """Takes longer than the others may."""
    scope["extensions"]["hostler.deadline"].extend(60)
    await asyncio.sleep(float(argument))
    await answer(send, "extended")


async def on_grow(argument, receive, send):
    # Written, so that it takes room, and quickly, because no other request is served meanwhile.
    HELD.append(b"x" * (int(argument) * 1024 * 1024))
    await answer(send, os.getpid())


async def on_ticks(argument, receive, send):
    """A stream that takes a quarter of a second for each piece."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(int(argument)):
        await asyncio.sleep(0.25)
        await send({"type": "http.response.body", "body": b"tick\n", "more_body": True})
    await send({"type": "http.response.body"})


async def on_events(argument, receive, send):
    """A stream without an end that stops when it is told to."""
    headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
    await stream(headers, receive, send)


async def on_download(argument, receive, send):
    """A stream of which the server cannot know whether it ends; with an argument it does once that file exists."""
    await stream([], receive, send, argument and os.path.exists)


async def stream(headers, receive, send, ends=None):
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"begun\n", "more_body": True})
    received = asyncio.ensure_future(receive())
    while not (ends and ends(os.environ["END"])):
        await asyncio.wait([received], timeout=0.02)
        if received.done():
            event = received.result()
            text = event.get("body", b"").decode() + event["type"].partition(".")[2]
            await send({"type": "http.response.body", "body": text.encode() + b"\n", "more_body": True})
            if event["type"] == "http.disconnect":
                break
            received = asyncio.ensure_future(receive())
    received.cancel()
    await send({"type": "http.response.body", "body": b"ended"})


async def on_inherited(argument, receive, send):
    """What a program that the application starts finds of the service manager's."""
    import subprocess

    listing = subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, text=True, close_fds=False)
    sockets = [line for line in listing.stdout.splitlines() if "socket:" in line]
    await answer(send, f"LISTEN_FDS={os.environ.get('LISTEN_FDS')} children={sockets}")


async def on_orphans(argument, receive, send):
    """Leaves orphans behind."""
    count = int(argument)
    for _ in range(count):
        child = os.fork()
        if child == 0:
            if os.fork() == 0:
                os._exit(7)
            os._exit(0)
        os.waitpid(child, 0)
    await answer(send, f"{count} orphans")


async def on_write(argument, receive, send):
    with open("/" + argument, "w") as file:
        file.write("x")
    await answer(send, "written")
