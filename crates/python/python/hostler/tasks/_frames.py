"""What travels between programs and the keeper of a queue: two lengths of four bytes (little-endian), a JSON document, bytes."""

from __future__ import annotations

import json
import struct
from typing import Any

_LENGTHS = struct.Struct("<II")
_dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_loads = json.JSONDecoder().raw_decode

Frame = tuple[dict[str, Any], bytes]


def encode(message: dict[str, Any], body: bytes = b"") -> bytes:
    head = _dumps(message).encode()
    return b"".join((_LENGTHS.pack(len(head), len(body)), head, body))


class Frames:
    """Messages out of bytes that come in pieces."""

    def __init__(self) -> None:
        self._rest = bytearray()
        #: How many bytes the next one has.
        self._length = 8

    def feed(self, data: bytes) -> list[Frame]:
        """Those that are whole now."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._length:
                return []
            data = bytes(self._rest)
        found: list[Frame] = []
        at = 0
        while True:
            self._length = 8
            if len(data) - at < 8:
                break
            head, body = _LENGTHS.unpack_from(data, at)
            self._length += head + body
            middle, end = at + 8 + head, at + self._length
            if end > len(data):
                break
            found.append((_loads(data[at + 8 : middle].decode())[0], data[middle:end]))
            at = end
        self._rest = bytearray(data[at:])
        return found
