"""Says something in each of the ways that Python has."""

import asyncio
import gc
import logging
import os
import threading
import warnings

log = logging.getLogger("shop")


class Formatter(logging.Formatter):
    """Takes a line of an access log apart, as Uvicorn's does."""

    def format(self, record):
        client, method, path, version, status = record.args
        return f'{client} - "{method} {path} HTTP/{version}" {status}|{len(record.args)}'


class Unsayable(Exception):
    def __str__(self):
        raise RuntimeError


class Broken:
    def __del__(self):
        1 / 0


def say(path):
    if path == "/logged":
        log.info("not written")
        log.warning("stock is low: %d", 3)
        logging.getLogger("uvicorn.error").info("said to uvicorn")
        logging.getLogger("gunicorn.error").info("said to gunicorn")
        try:
            1 / 0
        except ZeroDivisionError:
            log.exception("it failed")
    elif path == "/warned":
        warnings.warn("this is old")
    elif path == "/thread":
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    elif path == "/unraisable":
        Broken()
        gc.collect()
    elif path == "/raise":
        1 / 0
    elif path == "/long":
        log.warning("a long one: %s", "x" * (1 << 20))
    elif path == "/odd":
        # As os.fsdecode makes it of a name that is not UTF-8, and JSON of a client's "\\ud800".
        log.warning("no file \udcff")
        log.warning("so many: %d", "many")
        try:
            raise Unsayable
        except Unsayable:
            log.exception("what it is cannot be said")
        raise ValueError("no name \udcff")
    elif path == "/coloured":
        log.warning("a \x1b[31mred\x1b[0m one, a title \x1b]0;x\x07, C1 \x9b2J")
    elif path == "/own":
        logging.getLogger("hostler.error").warning("written by the server's logger")


async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/late":
        # Of a worker that drains by then.
        while not os.path.exists(os.environ["END"]):
            await asyncio.sleep(0.02)
        1 / 0
    say(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
