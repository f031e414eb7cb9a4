"""Applications that name a file as their response: in X-Sendfile, by pathsend, by wsgi.file_wrapper, by response_file."""

import os
from urllib.parse import unquote

HEADERS = [("content-type", "text/x-own"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("cache-control", "private")]


def named(query):
    """The file, and the status of the response that names it."""
    name, _, status = query.partition("&")
    return unquote(name), int(status or 200)


async def asgi(scope, receive, send):
    assert scope["type"] == "http"
    name, status = named(scope["query_string"].decode())
    if scope["path"] == "/pathsend":
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.pathsend", "path": name})
        return
    headers = [(key.encode(), value.encode()) for key, value in [*HEADERS, ("x-sendfile", name)]]
    if scope["path"] == "/plain":
        headers.pop()
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"from the application"})


def wsgi(environ, start_response):
    name, status = named(environ["QUERY_STRING"])
    if environ["PATH_INFO"] == "/pathsend":
        start_response(f"{status} Status", [("content-length", str(os.path.getsize(name)))])
        return environ["wsgi.file_wrapper"](open(name, "rb"), 4096)
    start_response(f"{status} Status", [*HEADERS, ("X-Sendfile", name), ("content-length", "0")])
    return []


class Rsgi:
    async def __rsgi__(self, scope, protocol):
        name, status = named(scope.query_string)
        if scope.path == "/pathsend":
            protocol.response_file(status, [], name)
        else:
            protocol.response_empty(status, [*HEADERS, ("x-sendfile", name)])


rsgi = Rsgi()
