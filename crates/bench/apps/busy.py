"""Requests that take a few milliseconds of processor time each: there is a capacity to exceed."""

import time

COST = 0.003


def work():
    until = time.thread_time() + COST
    while time.thread_time() < until:
        pass


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    work()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


LARGE = b"x" * (1 << 20)


def wsgi(environ, start_response):
    """The same; `/large` is more than the kernel buffers for a client that does not read, `/quick` costs nothing."""
    path = environ["PATH_INFO"]
    if path == "/":
        work()
    body = LARGE if path == "/large" else b"ok"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
