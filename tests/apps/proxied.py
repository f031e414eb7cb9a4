"""What each interface says of a request behind a proxy, in one form."""

import json
import time


def shown(client, scheme, server, root_path, path, raw_path, headers):
    names = ("client", "scheme", "server", "root_path", "path", "raw_path", "headers")
    return json.dumps(dict(zip(names, (client, scheme, server, root_path, path, raw_path, headers)))).encode()


async def asgi(scope, receive, send):
    assert scope["type"] in ("http", "websocket"), scope["type"]
    client = "%s:%s" % tuple(scope["client"]) if scope["client"] else ""
    server = "%s:%s" % tuple(scope["server"])
    headers = sorted((name.decode(), value.decode("latin-1")) for name, value in scope["headers"])
    body = shown(
        client, scope["scheme"], server, scope["root_path"], scope["path"], scope["raw_path"].decode(), dict(headers)
    )
    if scope["path"].endswith("/block"):
        time.sleep(1000)
    kind = "http" if scope["type"] == "http" else "websocket.http"
    await send({"type": f"{kind}.response.start", "status": 200, "headers": []})
    await send({"type": f"{kind}.response.body", "body": body})


def wsgi(environ, start_response):
    client = environ["REMOTE_ADDR"]
    if client:
        client += ":" + environ.get("REMOTE_PORT", "0")
    server = environ["SERVER_NAME"] + ":" + environ["SERVER_PORT"]
    headers = {
        name[5:].lower().replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")
    }
    path = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
    body = shown(client, environ["wsgi.url_scheme"], server, environ["SCRIPT_NAME"], path, None, headers)
    start_response("200 OK", [])
    return [body]


class Rsgi:
    async def __rsgi__(self, scope, protocol):
        headers = dict(scope.headers.items())
        if scope.authority is not None:
            headers[":authority"] = scope.authority
        body = shown(scope.client, scope.scheme, scope.server, None, scope.path, None, headers)
        protocol.response_bytes(200, [], body)


rsgi = Rsgi()
