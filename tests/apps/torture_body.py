"""What the applications of `cargo xtask torture` share: bodies that are functions of the request's number.

Both bodies repeat a block that names the number, so a byte that went astray says whose it is. The block that is sent
up is made of requests: a server that takes a body for the next request is heard of as `/smuggled`.
"""

import os
import time

PIECE = 65536

# The WebSockets that the application serves.
sockets = set()


def block_down(number):
    return b"".join([b"d%d.%d;" % (number, index) for index in range(256)])


def block_up(number):
    return b"".join([b"GET /smuggled?n=%d&i=%d HTTP/1.1\r\nhost: t\r\n\r\n" % (number, index) for index in range(64)])


def cut(block, at, size):
    """These bytes of the endless repetition of a block."""
    begin = at % len(block)
    return (block * ((begin + size) // len(block) + 1))[begin : begin + size]


def violation(text):
    """Tells the harness that this application saw what it never should."""
    with open(os.environ["TORTURE_VIOLATIONS"], "a") as file:
        file.write(text + "\n")


class Ask:
    """A request, as its query describes it. Times are in milliseconds."""

    def __init__(self, path, query):
        fields = dict(pair.partition("=")[::2] for pair in query.split("&"))
        if path != "/t" or "n" not in fields:
            violation(f"a request that was not sent: {path}?{query}")
        self.number = int(fields.get("n", 0))
        number = lambda name: int(fields.get(name, 0))
        # How long the response is, whether that is declared, and in how many pieces it comes.
        self.down, self.declared, self.pieces = number("down"), number("len") == 1, number("pieces")
        # Pauses: between pieces, before the response, with the thread blocked, between reads; work after the response.
        self.slow, self.wait, self.block = number("slow"), number("wait"), number("block")
        self.slowread, self.background = number("slowread"), number("bg")
        self.early, self.up = number("early") == 1, number("up")
        self.got, self._up = 0, None

    def feed(self, piece):
        """Checks the next bytes of the request's body."""
        if not piece:
            return
        self._up = self._up or block_up(self.number)
        if piece != cut(self._up, self.got, len(piece)):
            violation(f"request {self.number}: wrong bytes in its body from {self.got} on: {piece[:60]!r}")
        self.got += len(piece)

    def body_ended(self):
        if self.got != self.up:
            violation(f"request {self.number}: its body ended as if it were whole at {self.got} of {self.up} bytes")

    def headers(self):
        # By the clock that the harness reads.
        at = ("x-at", str(time.monotonic_ns() // 1_000_000))
        all = [at, ("x-sockets", str(len(sockets))), ("x-number", str(self.number)), ("x-pid", str(os.getpid())), ("x-upload", str(self.got))]
        return all + ([("content-length", str(self.down))] if self.declared else [])

    def answer(self):
        """The body's pieces."""
        block = block_down(self.number)
        count = max(self.pieces, 1)
        size = max(-(-self.down // count), 1)
        for at in range(0, self.down, size):
            yield cut(block, at, min(size, self.down - at))
