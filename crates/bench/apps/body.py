"""A request's body read, and a response of 2 KB with five headers."""

BODY = b"x" * 2048
HEADERS = [
    (b"content-type", b"text/plain"),
    (b"content-length", b"2048"),
    (b"cache-control", b"no-store"),
    (b"x-request-id", b"0123456789abcdef"),
    (b"vary", b"accept-encoding"),
]


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    more = True
    while more:
        event = await receive()
        more = event.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
