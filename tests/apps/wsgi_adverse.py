"""Applications and clients that misbehave: what the tests of wsgi_adverse and wsgi_waiting ask for."""

import gzip
import io
import os
import sys
import tempfile
import threading
import time
import zipfile

STATE = {"closed": 0, "marks": 0, "flag": False, "active": 0, "most": 0, "asked": 0}
LIMIT = 20


def app(environ, start_response):
    handler = globals()["on_" + environ["PATH_INFO"].strip("/").split("/")[0]]
    return handler(environ, start_response)


def answer(start_response, body, status="200 OK", headers=()):
    start_response(status, [("content-type", "text/plain"), *headers])
    return [body]


def wait_for(condition):
    limit = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > limit:
            raise RuntimeError("waited in vain")
        time.sleep(0.005)


def query_file(environ):
    return lambda: os.path.exists(environ["QUERY_STRING"])


class Closing:
    """An iterable that counts its end."""

    def __init__(self, pieces, close=None):
        self.pieces = iter(pieces)
        self.on_close = close

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.pieces)

    def close(self):
        STATE["closed"] += 1
        if self.on_close:
            self.on_close()


def on_state(environ, start_response):
    return answer(start_response, str(STATE[environ["QUERY_STRING"]]).encode())


def on_upload(environ, start_response):
    """Says in the log whether it came whole, as an application that stores it would."""
    try:
        size = len(environ["wsgi.input"].read())
    except OSError as error:
        sys.stderr.write(f"upload broken: {error}\n")
        raise
    sys.stderr.write(f"upload of {size}\n")
    start_response("200 OK", [])
    return [b"stored"]


def on_flag(environ, start_response):
    STATE["flag"] = True
    return answer(start_response, b"set")


# --- pieces


def on_pieces_wait(environ, start_response):
    """The second piece is made when the test has seen the first."""

    def pieces():
        yield b"one"
        wait_for(query_file(environ))
        yield b"two"

    start_response("200 OK", [])
    return pieces()


def on_write_wait(environ, start_response):
    write = start_response("200 OK", [])
    write(b"one")
    wait_for(query_file(environ))
    write(b"two")
    return [b"three"]


def on_write_until_flag(environ, start_response):
    STATE["flag"] = False
    write = start_response("200 OK", [])
    wait = time.monotonic() + LIMIT
    while not STATE["flag"]:
        if time.monotonic() > wait:
            raise RuntimeError("waited in vain")
        time.sleep(0.01)
        write(b".")
    write(b"end")
    return []


def on_write(environ, start_response):
    write = start_response("200 OK", [("x-own", "yes")])
    write(b"writ")
    write(b"")
    return iter([b"", b"ten"])


def on_write_length(environ, start_response):
    write = start_response("200 OK", [("x-own", "yes"), ("content-length", "7")])
    write(b"writ")
    return [b"ten"]


def on_write_raises(environ, start_response):
    start_response("200 OK", [])(b"half of it")
    if environ["REQUEST_METHOD"] == "HEAD":
        return []
    raise RuntimeError("raised after write()")


def on_write_inside(environ, start_response):
    """Writes inside the iterable, before its first piece."""
    write = start_response("200 OK", [("x-own", "yes")])
    if environ["QUERY_STRING"] == "empty":
        yield b""
    write(b"writ")
    if environ["QUERY_STRING"] == "raise":
        raise RuntimeError("raised after write() in the iterable")
    if environ["QUERY_STRING"] != "alone":
        yield b"ten"


def on_write_empty(environ, start_response):
    start_response("200 OK", [])(b"")
    return [b"rest"]


def on_close_waits(environ, start_response):
    start_response("200 OK", [("content-length", "3")])
    return Closing([b"all"], lambda: wait_for(query_file(environ)))


def on_last_waits(environ, start_response):
    """The iterable's end is found when the test has seen the only piece, which is all of the body."""

    def pieces():
        yield b"all"
        wait_for(query_file(environ))

    start_response("200 OK", [("content-length", "3")])
    return pieces()


def on_until_flag(environ, start_response):
    """Ends when another request was served; empty pieces first."""

    def pieces():
        piece = b"" if environ["QUERY_STRING"] == "empty" else b"."
        wait = time.monotonic() + LIMIT
        while not STATE["flag"]:
            if time.monotonic() > wait:
                raise RuntimeError("waited in vain")
            time.sleep(0.01)
            yield piece
        yield b"end"

    STATE["flag"] = False
    start_response("200 OK", [])
    return pieces()


def on_slowly(environ, start_response):
    def pieces():
        for number in range(int(environ["QUERY_STRING"])):
            time.sleep(0.1)
            yield b"%d\n" % number

    start_response("200 OK", [])
    return pieces()


def on_endless(environ, start_response):
    def pieces():
        while True:
            time.sleep(0.005)
            yield b"x" * 10_000

    start_response("200 OK", [])
    return Closing(pieces())


def on_many(environ, start_response):
    start_response("200 OK", [])
    return (b"0123456789" for _ in range(int(environ["QUERY_STRING"])))


def on_large(environ, start_response):
    start_response("200 OK", [])
    return Closing([b"x" * int(environ["QUERY_STRING"])])


def on_blocks(environ, start_response):
    """A stream of so many blocks of 64 KiB."""
    start_response("200 OK", [])
    return Closing(b"y" * 65536 for _ in range(int(environ["QUERY_STRING"])))


def on_infinite(environ, start_response):
    def pieces():
        while True:
            yield b"more"

    start_response("200 OK", [])
    return Closing(pieces())


# --- heads


def on_reason(environ, start_response):
    start_response("299 Fine Thanks", [])
    return [b"fine"]


def on_bad_reason(environ, start_response):
    start_response("200 OK\r\nx-evil: yes", [])
    return [b"never"]


def on_exc_info_before(environ, start_response):
    start_response("200 OK", [("x-first", "yes")])
    try:
        raise KeyError("before")
    except KeyError:
        start_response("503 Sorry", [("x-second", "yes")], sys.exc_info())
    return [b"replaced"]


def on_exc_info_after(environ, start_response):
    def pieces():
        yield b"transmitted"
        try:
            raise KeyError("told once more")
        except KeyError:
            start_response("500 Oops", [], sys.exc_info())
        yield b"never"

    start_response("200 OK", [])
    return Closing(pieces())


def on_exc_info_after_write(environ, start_response):
    write = start_response("200 OK", [])
    write(b"transmitted")
    try:
        raise KeyError("told after write")
    except KeyError:
        start_response("500 Oops", [], sys.exc_info())
    return [b"never"]


# --- lengths


def on_too_short(environ, start_response):
    start_response("200 OK", [("content-length", "10")])
    return Closing([b"01", b"23"])


def on_too_long(environ, start_response):
    start_response("200 OK", [("content-length", "3")])
    return Closing([b"01", b"23"])


def on_written_too_long(environ, start_response):
    write = start_response("200 OK", [("content-length", "3")])
    write(b"01")
    write(b"23")
    return []


# --- ends


def on_close_raises(environ, start_response):
    def fail():
        raise RuntimeError("close() raised on purpose")

    start_response("200 OK", [])
    return Closing([b"one", b"two"], fail)


def on_raise_late(environ, start_response):
    def pieces():
        yield b"one"
        raise RuntimeError("raised late on purpose")

    start_response("200 OK", [])
    return Closing(pieces())


def on_sys_exit(environ, start_response):
    sys.exit(3)


def on_sys_exit_late(environ, start_response):
    def pieces():
        yield b"one"
        sys.exit(3)

    start_response("200 OK", [])
    return Closing(pieces())


def on_os_exit(environ, start_response):
    os._exit(7)


# --- files


def content(environ):
    return b"content of a file\n" * 5000


def on_gzip(environ, start_response):
    path = tempfile.mktemp(suffix=".gz")
    with gzip.open(path, "wb") as file:
        file.write(content(environ))
    file = gzip.open(path, "rb")
    os.unlink(path)
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](file)


def on_zip(environ, start_response):
    archive = tempfile.TemporaryFile()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("member", content(environ))
    archive.seek(0)
    member = zipfile.ZipFile(archive).open("member")
    member.fileno = archive.fileno
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](member)


class Upper(io.FileIO):
    def read(self, size=-1):
        return super().read(size).upper()


def on_overridden(environ, start_response):
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](Upper(environ["QUERY_STRING"]))


def on_replaced(environ, start_response):
    file = open(environ["QUERY_STRING"], "rb")
    read = file.read
    file.read = lambda size: read(size).upper()
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](file)


def on_read_ahead(environ, start_response):
    file = open(environ["QUERY_STRING"], "rb")
    file.readline()
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](file)


def on_written_file(environ, start_response):
    file = open(environ["QUERY_STRING"], "r+b")
    file.seek(0, 2)
    file.write(b"and more")
    file.seek(0)
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](file)


def on_file(environ, start_response):
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](open(environ["QUERY_STRING"], "rb"))


def on_shrinking(environ, start_response):
    """A file that becomes shorter once its sending has begun."""
    file = tempfile.TemporaryFile()
    file.truncate(50_000_000)

    def shrink(descriptor):
        wait_for(query_file(environ))
        os.ftruncate(descriptor, 1000)
        os.close(descriptor)

    threading.Thread(target=shrink, args=(os.dup(file.fileno()),)).start()
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](file)


# --- bodies


def on_echo(environ, start_response):
    return answer(start_response, environ["wsgi.input"].read())


def on_length(environ, start_response):
    stream, size = environ["wsgi.input"], 0
    while piece := stream.read(65536):
        size += len(piece)
    return answer(start_response, str(size).encode())


def on_refuse(environ, start_response):
    return answer(start_response, b"no", "417 Expectation Failed")


def on_thread(environ, start_response):
    return answer(start_response, threading.current_thread().name.encode())


def on_alone(environ, start_response):
    """Notes how many calls run at the same time, reading the body included or not."""

    def work():
        STATE["active"] += 1
        STATE["most"] = max(STATE["most"], STATE["active"])
        time.sleep(0.002)
        STATE["active"] -= 1

    work()
    body = environ["wsgi.input"].read()
    work()

    def pieces():
        for _ in range(3):
            work()
            yield body or b"nothing"

    start_response("200 OK", [])
    return Closing(pieces(), work)


# --- the queue


def on_hold(environ, start_response):
    """Holds its thread until the test lets it go, whatever the server thinks of that."""
    open(environ["QUERY_STRING"] + threading.current_thread().name, "w").close()
    while not query_file(environ)():
        try:
            time.sleep(0.005)
        except BaseException:
            continue
    return answer(start_response, b"held")


def on_mark(environ, start_response):
    STATE["marks"] += 1
    return answer(start_response, b"marked")
