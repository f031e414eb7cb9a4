"""What travels between programs and the keeper of a queue: two lengths of four bytes (little-endian), a JSON document, bytes."""

from __future__ import annotations

import json
import struct
from typing import Any

_LENGTHS = struct.Struct("<II")
_dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def encode(message: dict[str, Any], body: bytes = b"") -> bytes:
    head = _dumps(message).encode()
    return b"".join((_LENGTHS.pack(len(head), len(body)), head, body))


class Frames:
    """Messages out of bytes that come in pieces."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        self._data += data

    def next(self) -> tuple[dict[str, Any], bytes] | None:
        data = self._data
        if len(data) < 8:
            return None
        head, body = _LENGTHS.unpack_from(data)
        end = 8 + head + body
        if len(data) < end:
            return None
        message, rest = json.loads(data[8 : 8 + head]), bytes(data[8 + head : end])
        del data[:end]
        return message, rest
