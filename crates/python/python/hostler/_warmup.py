"""The request that the application handles before its worker becomes ready (--warmup)."""

import asyncio
import io
import sys
import traceback


async def asgi(app, path, state):
    """Requests `path`; returns what went wrong, or None."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"user-agent", b"hostler-warmup")],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
    }
    if state is not None:
        scope["state"] = state.copy()
    statuses = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(event):
        if event["type"] == "http.response.start":
            statuses.append(event["status"])

    try:
        await app(scope, receive, send)
    except Exception:
        return traceback.format_exc().rstrip()
    return _judge(statuses)


async def rsgi(callback, path):
    """Requests `path`; returns what went wrong, or None."""
    protocol = _Protocol()
    try:
        await callback(_Scope(path), protocol)
    except Exception:
        return traceback.format_exc().rstrip()
    return _judge(protocol.statuses)


class _Scope:
    proto = "http"
    rsgi_version = "1.6"
    http_version = "1.1"
    server = client = "127.0.0.1:0"
    scheme = "http"
    method = "GET"
    authority = None
    deadline = None
    tls = None

    def __init__(self, path):
        self.path, _, self.query_string = path.partition("?")
        self.headers = {"host": "localhost", "user-agent": "hostler-warmup"}


class _Protocol:
    """Accepts a response of any kind and discards it."""

    def __init__(self):
        self.statuses = []

    async def __call__(self):
        return b""

    async def __aiter__(self):
        for piece in ():
            yield piece

    def client_disconnect(self):
        return asyncio.get_running_loop().create_future()

    def _respond(self, status=200, headers=(), *_, **__):
        self.statuses.append(status)

    response_empty = response_str = response_bytes = response_file = response_file_range = _respond

    def response_stream(self, status=200, headers=()):
        self.statuses.append(status)
        return self

    async def send_bytes(self, data):
        pass

    async def send_str(self, data):
        pass


def wsgi(app, path):
    """Requests `path`; returns what went wrong, or None."""
    path, _, query = path.partition("?")
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "HTTP_USER_AGENT": "hostler-warmup",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    statuses = []

    def start_response(status, headers, exc_info=None):
        statuses.append(int(status.split(" ", 1)[0]))
        return lambda data: None

    try:
        result = app(environ, start_response)
        try:
            for _ in result:
                pass
        finally:
            if hasattr(result, "close"):
                result.close()
    except Exception:
        return traceback.format_exc().rstrip()
    return _judge(statuses)


def _judge(statuses):
    if not statuses:
        return "the application sent no response"
    return f"the response has status {statuses[-1]}" if statuses[-1] >= 500 else None
