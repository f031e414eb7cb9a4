"""A connection to the keeper for an event loop: many questions at once, asked again if it breaks."""

from __future__ import annotations

import asyncio
import itertools
import socket
from typing import Any

from hostler.tasks._connect import LIMIT, Place, in_a_thread
from hostler.tasks._errors import QueueUnavailable
from hostler.tasks._frames import Frames, encode


#: The longest pause before connecting again to a keeper that closes connections, in seconds.
_PAUSE = 0.1


class AsyncConnection(asyncio.Protocol):
    def __init__(self, place: Place) -> None:
        self._place = place
        self._numbers = itertools.count(1)
        self._asked: dict[int, tuple[bytes, asyncio.Future[tuple[dict[str, Any], bytes]]]] = {}
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._frames = Frames()
        #: When the keeper was first found to close connections without an answer, one after the other.
        self._broken_since: float | None = None
        self._connected_at = 0.0

    async def ask(self, message: dict[str, Any], body: bytes = b"") -> tuple[dict[str, Any], bytes]:
        n = next(self._numbers)
        frame = encode({**message, "n": n}, body)
        future: asyncio.Future[tuple[dict[str, Any], bytes]] = asyncio.get_running_loop().create_future()
        self._asked[n] = frame, future
        if self._transport is not None:
            self._transport.write(frame)
        elif self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect())
        try:
            return await future
        finally:
            if self._asked.pop(n, None) is not None and self._transport is not None:
                self._transport.write(encode({"do": "forget", "n": n}))

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            if self._broken_since is not None:
                broken_for = loop.time() - self._broken_since
                if broken_for > LIMIT:
                    self._broken_since = None
                    raise QueueUnavailable(f"the task queue {self._place.file} does not answer: its keeper closes the connection")
                await asyncio.sleep(min(broken_for, _PAUSE))
            connection = await in_a_thread(self._place.connect)
            connection.setblocking(False)
            self._socket = connection
            self._frames = Frames()
            await loop.create_unix_connection(lambda: self, sock=connection)
        except Exception as error:
            for _, future in self._asked.values():
                if not future.done():
                    future.set_exception(error)
            self._asked.clear()
        finally:
            self._connecting = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connected_at = asyncio.get_running_loop().time()
        for frame, _ in self._asked.values():
            transport.write(frame)

    def data_received(self, data: bytes) -> None:
        self._broken_since = None
        for answer in self._frames.feed(data):
            asked = self._asked.pop(answer[0].get("n", 0), None)
            if asked is not None and not asked[1].done():
                asked[1].set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        loop = asyncio.get_running_loop() if asyncio._get_running_loop() is not None else None
        if loop is None or loop.is_closed():
            return
        if self._broken_since is None or loop.time() > self._connected_at + LIMIT:
            self._broken_since = loop.time()
        if self._asked and self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect())

    def close(self) -> None:
        """Its loop is closed, and can do nothing more."""
        if self._socket is not None:
            self._socket.close()
