"""A client of HTTP/2 that only asks for `/` and reads statuses, quickly: no package of Python does that fast enough to overload a
server."""

import asyncio
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
CANCEL = 8
MOST = 2**31 - 1
# Statuses of HPACK's static table (RFC 7541, appendix A), and the digits of its Huffman code.
STATUSES = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}
DIGITS = {(5, n): str(n) for n in range(3)} | {(6, 22 + n): str(n) for n in range(3, 10)}
# GET, http, /, and `:authority: bench` as it is.
REQUEST = b"\x82\x86\x84" + b"\x01\x05bench"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


# No dynamic table, so that each status can be read by itself, and room for all that is sent.
GREETING = (
    PREFACE
    + frame(SETTINGS, 0, 0, struct.pack(">HIHI", 1, 0, 4, MOST))
    + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", MOST - 65535))
)


def huffman(coded):
    bits, text = "".join(f"{byte:08b}" for byte in coded), ""
    while len(text) < 3:
        size = next(size for size in (5, 6) if (size, int(bits[:size], 2)) in DIGITS)
        text, bits = text + DIGITS[size, int(bits[:size], 2)], bits[size:]
    return text


def status_of(block):
    """The status in a header block, which is its first field."""
    while block[0] & 0xE0 == 0x20:
        block = block[1:]
    if block[0] & 0x80:
        return STATUSES[block[0] & 0x7F]
    value = block[2 : 2 + (block[1] & 0x7F)]
    return int(huffman(value) if block[1] & 0x80 else value)


class Connection(asyncio.Protocol):
    """A connection; `streams` are the requests that wait for their responses."""

    def __init__(self):
        self.buffer, self.next, self.most, self.ends = b"", 1, 100, False
        self.streams, self.statuses = {}, {}

    def connection_made(self, transport):
        self.transport = transport
        transport.write(GREETING)

    def has_room(self):
        return not self.ends and len(self.streams) < self.most

    async def ask(self):
        """The status of the response."""
        stream, self.next = self.next, self.next + 2
        done = self.streams[stream] = asyncio.get_running_loop().create_future()
        self.transport.write(frame(HEADERS, END_STREAM | END_HEADERS, stream, REQUEST))
        try:
            return await done
        except asyncio.CancelledError:
            if not self.transport.is_closing():
                self.transport.write(frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)))
            raise
        finally:
            self.streams.pop(stream, None)
            self.statuses.pop(stream, None)
            if self.ends and not self.streams:
                self.transport.close()

    def data_received(self, data):
        data, at = self.buffer + data, 0
        while len(data) - at >= 9:
            length, flags, stream = struct.unpack_from(">IBI", data, at)
            length, kind = length >> 8, length & 0xFF
            if len(data) - at < 9 + length:
                break
            self.take(kind, flags, stream, data[at + 9 : at + 9 + length])
            at += 9 + length
        self.buffer = data[at:]

    def take(self, kind, flags, stream, payload):
        if kind == HEADERS:
            self.statuses[stream] = status_of(payload)
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.end(stream, self.statuses.get(stream))
        elif kind == RST_STREAM:
            self.end(stream, f"reset {int.from_bytes(payload)}")
        elif kind == GOAWAY:
            self.ends = True
        elif kind == PING and not flags & ACK:
            self.transport.write(frame(PING, ACK, 0, payload))
        elif kind == SETTINGS and not flags & ACK:
            settings = dict(struct.iter_unpack(">HI", payload))
            self.most = settings.get(3, self.most)
            self.transport.write(frame(SETTINGS, ACK, 0))

    def end(self, stream, outcome):
        done = self.streams.get(stream)
        if done and not done.done():
            done.set_result(outcome)

    def connection_lost(self, error):
        self.ends = True
        for stream in list(self.streams):
            self.end(stream, "connection lost")
