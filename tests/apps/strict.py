"""Says what it saw of a request, and responds as it is told: ASGI, WSGI and RSGI."""

import os
from urllib.parse import quote

# Responses by their paths: status, headers, body.
RESPONSES = {
    "/line_in_value": (200, [("x-a", "b\r\nset-cookie: c")], b""),
    "/cr_in_value": (200, [("x-a", "b\rc")], b""),
    "/lf_in_value": (200, [("x-a", "b\nc")], b""),
    "/nul_in_value": (200, [("x-a", "b\0c")], b""),
    "/line_in_name": (200, [("x-a\r\nset-cookie", "c")], b""),
    "/space_in_name": (200, [("x a", "b")], b""),
    "/colon_in_name": (200, [("x-a:", "b")], b""),
    "/no_name": (200, [("", "b")], b""),
    "/latin_name": (200, [("x-\xe9", "b")], b""),
    "/status_100": (100, [], b""),
    "/status_103": (103, [], b""),
    "/status_199": (199, [], b""),
    "/status_99": (99, [], b""),
    "/status_1000": (1000, [], b""),
    "/length_twice": (200, [("content-length", "5"), ("content-length", "6")], b"hello"),
    "/length_list": (200, [("content-length", "5, 5")], b"hello"),
    "/length_sign": (200, [("content-length", "+5")], b"hello"),
    "/length_word": (200, [("content-length", "five")], b"hello"),
    "/length_empty": (200, [("content-length", "")], b"hello"),
    "/length_huge": (200, [("content-length", "18446744073709551616")], b"hello"),
    "/length_line": (200, [("content-length", "5\r\n")], b"hello"),
    "/length_feed": (200, [("content-length", "\f5")], b"hello"),
    "/line_behind_value": (200, [("x-a", "b\r\n")], b"hello"),
    "/length_padded": (200, [("content-length", " 05\t"), ("x-b", "\tb ")], b"hello"),
    "/too_long": (200, [("content-length", "3")], b"hello"),
    "/too_short": (200, [("content-length", "10")], b"hello"),
    "/same_length": (200, [("content-length", "5"), ("content-length", "5")], b"hello"),
    "/coding": (200, [("transfer-encoding", "chunked")], b"hello"),
    "/coding_and_length": (200, [("transfer-encoding", "chunked"), ("content-length", "5")], b"hello"),
    "/unknown_coding": (200, [("transfer-encoding", "gzip")], b"hello"),
    "/latin_value": (200, [("x-a", "\xe9")], b"hello"),
    "/connection": (200, [("connection", "keep-alive, x-a"), ("keep-alive", "timeout=1"), ("x-a", "b")], b"hello"),
    "/upgrade": (200, [("connection", "upgrade"), ("upgrade", "h2c"), ("proxy-connection", "close")], b"hello"),
    "/no_content": (204, [], b"hello"),
    "/no_content_length": (204, [("content-length", "5")], b"hello"),
    "/not_modified": (304, [("etag", "a")], b"hello"),
    "/reset_content": (205, [], b""),
}


def seen(method, target, host, body, front="-"):
    line = " ".join([method, target, "-" if host is None else host, body.decode("latin-1")]).rstrip(" ")
    if "SEEN" in os.environ:
        with open(os.environ["SEEN"], "a") as file:
            file.write(f"front={front} {line.encode('unicode_escape').decode()}\n")
    return line.encode("latin-1")


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    if scope["path"] in RESPONSES:
        status, headers, body = RESPONSES[scope["path"]]
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return
    body, more = b"", True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        body += event.get("body", b"")
        more = event.get("more_body", False)
    target = scope["raw_path"].decode("latin-1")
    if scope["query_string"]:
        target += "?" + scope["query_string"].decode("latin-1")
    headers = dict(scope["headers"])
    host = headers.get(b"host")
    front = headers.get(b"x-front", b"-").decode("latin-1")
    text = seen(scope["method"], target, host if host is None else host.decode("latin-1"), body, front)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(text))]})
    await send({"type": "http.response.body", "body": text})


def wsgi(environ, start_response):
    if environ["PATH_INFO"] in RESPONSES:
        status, headers, body = RESPONSES[environ["PATH_INFO"]]
        start_response(f"{status} As It Is", headers)
        return [body]
    target = quote(environ["PATH_INFO"].encode("latin-1"), safe="/*&=")
    if environ["QUERY_STRING"]:
        target += "?" + environ["QUERY_STRING"]
    body = environ["wsgi.input"].read()
    text = seen(environ["REQUEST_METHOD"], target, environ.get("HTTP_HOST"), body)
    start_response("200 OK", [("content-length", str(len(text)))])
    return [text]


class Rsgi:
    async def __rsgi__(self, scope, protocol):
        if scope.path in RESPONSES:
            protocol.response_bytes(*RESPONSES[scope.path])
            return
        body = await protocol()
        target = quote(scope.path, safe="/*&=")
        if scope.query_string:
            target += "?" + scope.query_string
        text = seen(scope.method, target, scope.headers.get("host"), body)
        protocol.response_bytes(200, [], text)


rsgi = Rsgi()
