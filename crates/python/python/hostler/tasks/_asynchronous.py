"""A connection to the keeper for an event loop: many questions at once, asked again if it breaks."""

from __future__ import annotations

import asyncio
import itertools
import socket
from typing import Any

from hostler.tasks._connect import Breaks, Place, in_a_thread
from hostler.tasks._frames import Frames, encode


class AsyncConnection(asyncio.Protocol):
    def __init__(self, place: Place) -> None:
        self._place = place
        self._numbers = itertools.count(1)
        self._asked: dict[int, tuple[bytes, asyncio.Future[tuple[dict[str, Any], bytes]]]] = {}
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._frames = Frames()
        self._breaks = Breaks(place)

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

    async def _connect(self, *, again: bool = False) -> None:
        loop = asyncio.get_running_loop()
        try:
            if again:
                await asyncio.sleep(self._breaks.pause("its keeper closes the connection"))
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
            self._breaks.over()
        finally:
            self._connecting = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._breaks.connected()
        for frame, _ in self._asked.values():
            transport.write(frame)

    def data_received(self, data: bytes) -> None:
        self._breaks.over()
        for answer in self._frames.feed(data):
            asked = self._asked.pop(answer[0].get("n", 0), None)
            if asked is not None and not asked[1].done():
                asked[1].set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        loop = asyncio.get_running_loop() if asyncio._get_running_loop() is not None else None
        if not self._asked:
            self._breaks.over()
        elif loop is not None and not loop.is_closed() and self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect(again=True))

    def close(self) -> None:
        """Its loop is closed, and can do nothing more."""
        if self._socket is not None:
            self._socket.close()
