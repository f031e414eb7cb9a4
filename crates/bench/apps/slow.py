"""An application that is slow to import and can block its worker; for reliability.py."""

import os
import time

time.sleep(float(os.environ.get("IMPORT_SECONDS", "0")))


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            await send({"type": event["type"] + ".complete"})
            if event["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/block":
        time.sleep(10)
    body = str(os.getpid()).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
