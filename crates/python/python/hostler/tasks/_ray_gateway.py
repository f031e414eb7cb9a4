"""A process that has joined a Ray cluster, for one that has not: it passes on what that asks the keeper of tasks, and ends with it."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from typing import Any

from hostler.tasks._ray_link import ITSELF, receive, send

#: How long the cluster may be silent before it is looked for.
_SILENT = 2.0


class Gateway:
    """What it was asked, on its event loop."""

    def __init__(self, connection: socket.socket, cluster: Any) -> None:
        self._connection, self._cluster = connection, cluster
        self._asked: dict[int, asyncio.Task[None]] = {}
        self._busy = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, args=[loop], daemon=True).start()
        while True:
            await self._busy.wait()
            await asyncio.sleep(_SILENT)
            if self._asked and (why := await asyncio.to_thread(self._cluster.gone)) is not None:
                send(self._connection, (ITSELF, why, None))
                os._exit(1)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while (said := receive(self._connection)) is not None:
                loop.call_soon_threadsafe(self._begin, *said)
        finally:
            os._exit(0)

    def _begin(self, number: int, method: str, args: Any) -> None:
        self._busy.set()
        self._asked[number] = asyncio.ensure_future(self._pass(number, method, args))

    async def _pass(self, number: int, method: str, args: Any) -> None:
        try:
            failure, answer = None, await self._cluster.call(method, *args)
        except Exception as error:
            failure, answer = f"the Ray cluster cannot be used: {type(error).__name__}: {error}", None
        del self._asked[number]
        if not self._asked:
            self._busy.clear()
        send(self._connection, (number, failure, answer))


def main(address: str, descriptor: str) -> None:
    connection = socket.socket(fileno=int(descriptor))
    connection.set_inheritable(False)
    ends = threading.Thread(target=_end_with, args=[connection], daemon=True)
    ends.start()
    from hostler.tasks._errors import QueueUnavailable
    from hostler.tasks._ray_cluster import Cluster

    # What goes wrong is said to whom it is for; Ray's own account of it is in its logs.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        cluster = Cluster(address)
    except QueueUnavailable as error:
        send(connection, (ITSELF, str(error), None))
        return
    send(connection, (ITSELF, None, None))
    try:
        asyncio.run(Gateway(connection, cluster).run())
    except OSError:
        # Nobody listens any more.
        os._exit(0)


def _end_with(connection: socket.socket) -> None:
    """Joining may take long, and whoever wants it may die meanwhile."""
    if not connection.recv(1, socket.MSG_PEEK):
        os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
