"""Served by `cargo xtask torture`: WSGI, with one thread and with several."""

import time

from torture_body import PIECE, Ask


def app(environ, start_response):
    ask = Ask(environ["PATH_INFO"], environ["QUERY_STRING"])
    if not ask.early:
        try:
            while piece := environ["wsgi.input"].read(PIECE):
                ask.feed(piece)
                if ask.slowread:
                    time.sleep(ask.slowread / 1000)
        except OSError:
            # The client broke off. The response is not sent, or is a 400.
            start_response("400 Bad Request", [("x-number", str(ask.number)), ("content-length", "0")])
            return []
        ask.body_ended()
    if ask.wait or ask.block:
        time.sleep((ask.wait + ask.block) / 1000)
    start_response("200 OK", ask.headers())
    return Answer(ask)


class Answer:
    """Pieces, and work that is left for `close`."""

    def __init__(self, ask):
        self.ask = ask

    def __iter__(self):
        for piece in self.ask.answer():
            yield piece
            if self.ask.slow:
                time.sleep(self.ask.slow / 1000)

    def close(self):
        if self.ask.background:
            time.sleep(self.ask.background / 1000)
