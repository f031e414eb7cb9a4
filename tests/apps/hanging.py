"""Hangs or fails while it is imported, as a file next to its settings says; serves otherwise."""

import asyncio
import os
import sys
import time

STATE = os.environ["STATE_FILE"]

with open(STATE) as file:
    state = file.read().strip()
if state == "hang":
    print("it hangs now", file=sys.stderr, flush=True)
    time.sleep(1_000_000)
if state == "fail":
    raise RuntimeError("not today")


async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"].startswith("/wait/"):
        await asyncio.sleep(float(scope["path"].removeprefix("/wait/")))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
