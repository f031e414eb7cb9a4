"""Show what an application learns of TLS."""


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    text = repr((scope["scheme"], scope["extensions"].get("tls")))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})


class Rsgi:
    async def __rsgi__(self, scope, protocol):
        assert scope.proto == "http"
        protocol.response_str(200, [], repr((scope.scheme, scope.tls)))


rsgi = Rsgi()


def wsgi(environ, start_response):
    shown = {name: value for name, value in environ.items() if name.startswith(("SSL_", "HTTPS"))}
    start_response("200 OK", [])
    return [repr((environ["wsgi.url_scheme"], shown)).encode()]
