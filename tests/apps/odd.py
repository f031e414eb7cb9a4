"""Attributes that are no applications."""

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
