"""What the WSGI tests ask for, without a framework."""

import io
import json
import os
import threading
import time
from wsgiref.validate import validator

CLOSED = {"count": 0}


def app(environ, start_response):
    handler = globals()["on_" + environ["PATH_INFO"].strip("/").split("/")[0]]
    return handler(environ, start_response)


def answer(start_response, body, status="200 OK", headers=()):
    start_response(status, [("content-type", "text/plain"), *headers])
    return [body]


def on_environ(environ, start_response):
    shown = {k: v if isinstance(v, (str, bool)) else repr(v) for k, v in environ.items()}
    return answer(start_response, json.dumps(shown).encode())


def on_echo(environ, start_response):
    return answer(start_response, environ["wsgi.input"].read())


def on_lines(environ, start_response):
    stream = environ["wsgi.input"]
    first = stream.readline()
    rest = list(stream)
    return answer(start_response, b"%s|%d" % (first.strip(), len(rest)))


def on_slow(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"]))
    return answer(start_response, b"slow answer")


def on_loop(environ, start_response):
    while True:
        time.sleep(0.01)


def on_pid(environ, start_response):
    return answer(start_response, str(os.getpid()).encode())


def on_write(environ, start_response):
    write = start_response("200 OK", [("content-type", "text/plain")])
    write(b"written ")
    write(b"twice ")
    return [b"and returned"]


def on_write_and_list(environ, start_response):
    write = start_response("200 OK", [("content-length", "4")])
    write(b"one ")
    return [b"", b"more"]


def on_write_and_yield(environ, start_response):
    write = start_response("200 OK", [("content-length", "4")])
    write(b"one ")
    yield b"more"


def on_write_raise(environ, start_response):
    write = start_response("200 OK", [("content-type", "text/plain")])
    write(b"written ")
    raise RuntimeError("raised after write() on purpose")


class Closing:
    def __init__(self, pieces):
        self.pieces = iter(pieces)

    def __iter__(self):
        return self

    def __next__(self):
        piece = next(self.pieces)
        if isinstance(piece, Exception):
            raise piece
        return piece

    def close(self):
        CLOSED["count"] += 1


def on_generator(environ, start_response):
    def late():
        yield b""
        start_response("200 OK", [("content-type", "text/plain")])
        for number in range(10):
            yield b"piece %d\n" % number

    return late()


def on_closing(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return Closing([b"one ", b"two"])


def on_closing_raise(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return Closing([b"one ", RuntimeError("raised late on purpose")])


def on_close_raise(environ, start_response):
    class Raises(Closing):
        def close(self):
            raise RuntimeError("close() raised on purpose")

    start_response("200 OK", [("content-type", "text/plain")])
    return Raises([b"one ", b"two"])


def on_closed(environ, start_response):
    return answer(start_response, str(CLOSED["count"]).encode())


def on_raise(environ, start_response):
    raise RuntimeError("raised on purpose")


def on_badheader(environ, start_response):
    return answer(start_response, b"x", headers=[("x-evil", "a\r\nset-cookie: b=c")])


def on_nocontent(environ, start_response):
    return answer(start_response, b"", status="204 No Content", headers=[("content-length", "3")])


def on_manyheaders(environ, start_response):
    return answer(start_response, b"x", headers=[("x", "a")] * 40_000)


def on_toolong(environ, start_response):
    return answer(start_response, b"0123456789ABCDEF", headers=[("content-length", "10")])


def on_tooshort(environ, start_response):
    start_response("200 OK", [("content-length", "10")])
    return iter([b"01", b"23"])


def on_sleep(environ, start_response):
    time.sleep(0.3)
    return answer(start_response, threading.current_thread().name.encode())


def valid_inner(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body) + 3))])
    return [b"ok " + body]


valid = validator(valid_inner)


def on_hints(environ, start_response):
    environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload"), ("X-Other", "not sent")])
    start_response("200 OK", [("content-length", "6")])
    return [b"hinted"]


def counted(close):
    def count():
        CLOSED["count"] += 1
        close()

    return count


def on_file(environ, start_response):
    file = open(environ["QUERY_STRING"].partition("&")[0], "rb", buffering=0)
    file.seek(2)
    file.close = counted(file.close)
    headers = [("content-length", "3")] if environ["QUERY_STRING"].endswith("&short") else []
    headers += [("content-length", "99")] if environ["QUERY_STRING"].endswith("&long") else []
    start_response("200 OK", headers)
    return environ["wsgi.file_wrapper"](file, 4096)


def on_text_file(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return environ["wsgi.file_wrapper"](open(environ["QUERY_STRING"], "rb"))


def on_nofile(environ, start_response):
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](io.BytesIO(b"not a real file"))
