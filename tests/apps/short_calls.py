"""Blocks the worker's thread for as many seconds as the path says, and says so, for each interface."""

import time


async def asgi(scope, receive, send):
    if scope["type"] == "http":
        time.sleep(float(scope["path"][1:]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


def wsgi(environ, start_response):
    time.sleep(float(environ["PATH_INFO"][1:]))
    start_response("200 OK", [])
    return [b"done"]


async def rsgi(scope, protocol):
    time.sleep(float(scope.path[1:]))
    protocol.response_str(200, [], "done")
