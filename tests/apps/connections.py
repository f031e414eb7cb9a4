"""Responses whose every byte is known, for clients that read slowly, send slowly, or not at all: ASGI, WSGI and RSGI."""

import os
import time
from urllib.parse import parse_qs

BLOCK = bytes(range(251)) * 64


def pattern(size, start=0):
    """`size` bytes of a pattern, from this place in it on."""
    first = start % 251
    return (BLOCK * (size // len(BLOCK) + 2))[first:first + size]


def plan(path, query):
    """The body of a response, and in how many pieces it is sent."""
    asked = {name: values[-1] for name, values in parse_qs(query).items()}
    if path == "/bytes":
        return pattern(int(asked["n"])), int(asked.get("pieces", 1))
    if path == "/block":
        time.sleep(float(asked["s"]))
    if path == "/await":
        return wait_for(asked["file"]), 1
    return {"/pid": str(os.getpid()).encode()}.get(path, path.encode()), 1


def wait_for(file):
    """Blocks the thread until there is the file."""
    os.write(2, f"awaits {file}\n".encode())
    until = time.monotonic() + 20
    while time.monotonic() < until:
        time.sleep(0.005)
        if os.path.exists(file):
            return b"found"
    return b"not found"


def split(body, pieces):
    size = -(-len(body) // pieces) or 1
    return [body[at:at + size] for at in range(0, len(body), size)]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    if scope["path"] == "/read":
        more, got = True, 0
        while more:
            event = await receive()
            if event["type"] == "http.disconnect":
                print("told of the disconnect", flush=True)
                return
            got += len(event.get("body", b""))
            more = event.get("more_body", False)
        body, pieces = str(got).encode(), 1
    elif scope["path"] == "/host":
        body, pieces = dict(scope["headers"])[b"host"], 1
    else:
        body, pieces = plan(scope["path"], scope["query_string"].decode())
    headers = [] if pieces > 1 else [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    *most, last = split(body, pieces) or [b""]
    for piece in most:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": last})


def wsgi(environ, start_response):
    if environ["PATH_INFO"] == "/read":
        body, pieces = str(len(environ["wsgi.input"].read())).encode(), 1
    else:
        body, pieces = plan(environ["PATH_INFO"], environ["QUERY_STRING"])
    headers = [] if pieces > 1 else [("content-length", str(len(body)))]
    start_response("200 OK", headers)
    return split(body, pieces)


class Rsgi:
    async def __rsgi__(self, scope, protocol):
        if scope.path == "/read":
            body, pieces = str(len(await protocol())).encode(), 1
        else:
            body, pieces = plan(scope.path, scope.query_string)
        if pieces == 1:
            protocol.response_bytes(200, [], body)
            return
        transport = protocol.response_stream(200, [])
        for piece in split(body, pieces):
            await transport.send_bytes(piece)


rsgi = Rsgi()
