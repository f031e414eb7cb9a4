"""Attributes that are no applications, and applications of unusual kinds."""

import asyncio
import logging
import types

number = 5


def create_app():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"from a factory"})

    return app


async def failing(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        raise RuntimeError("the database is away")


async def refusing(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})


class Rsgi:
    async def __rsgi__(self, scope, protocol):
        protocol.response_str(200, [], "RSGI")


rsgi = Rsgi()


async def crashing_early(scope, receive, send):
    if scope["type"] == "lifespan":
        connect_to_the_database()  # noqa: F821
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})


async def without_lifespan(scope, receive, send):
    assert scope["type"] == "http"
    await crashing_early(scope, receive, send)


class Awaitable:
    def __init__(self, coroutine):
        self.coroutine = coroutine

    def __await__(self):
        return self.coroutine.__await__()


async def _respond(scope, receive, send):
    assert scope["type"] == "http"
    await asyncio.sleep(0)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"awaited"})


def future(scope, receive, send):
    return asyncio.ensure_future(_respond(scope, receive, send))


def awaitable(scope, receive, send):
    return Awaitable(_respond(scope, receive, send))


@types.coroutine
def generator(scope, receive, send):
    yield from _respond(scope, receive, send).__await__()


def synchronous(scope, receive, send):
    return None


async def failing_late(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise RuntimeError("the database does not close")
    logging.getLogger("shop").warning("sold out")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})
