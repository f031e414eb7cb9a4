#!/usr/bin/env python3
"""What is left of a server's capacity when ten times as much is asked of it, and how much memory that takes.

    overload.py [--seconds 10] [--times 10] [--http2] [--realtime] COMMAND with {port}

    overload.py target/release/hostler busy:asgi --workers 1 --port {port} --limit-concurrency 8 --limit-queue 64 --queue-timeout 0.4

First so many clients as keep one worker busy ask one request after another: the capacity. Then requests are sent at a multiple
of that rate, whether or not they are answered, each with a second's patience: what counts is how many are answered with 200
in that time (goodput). Printed: both rates, their ratio, what became of the others, and the largest memory (RSS) of the server's
processes in both phases. With --http2 the requests are streams of few connections. It works in crates/bench/apps. With
--realtime server and load go before all other programs of the machine (SCHED_FIFO, needs root): otherwise a busy one measures
how late the load reads its responses.
"""

import argparse
import asyncio
import collections
import os
import time

import http2
from serving import free_ports, serve, stats

ASK = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
PATIENCE = 1.0
CLIENTS = 16
# By HTTP/2, how many connections there are while their streams suffice.
CONNECTIONS = 4


class Http1:
    """Connections for one request at a time: an idle one, or a new one."""

    def __init__(self, port):
        self.port, self.idle = port, []

    async def ask(self):
        pair = self.idle.pop() if self.idle else None
        try:
            pair = pair or await asyncio.open_connection("127.0.0.1", self.port)
            reader, writer = pair
            writer.write(ASK)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(length)
        except BaseException:
            if pair:
                pair[1].transport.abort()
            raise
        if b"connection: close" in head:
            writer.close()
        else:
            self.idle.append(pair)
        return int(head[9:12])


class Http2:
    """Connections with as many requests at a time as the server allows: in turn, and a new one if none has room."""

    def __init__(self, port):
        self.port, self.connections, self.connecting = port, collections.deque(), None

    async def ask(self):
        while not (connection := self.take()):
            if not self.connecting:
                self.connecting = asyncio.ensure_future(self.connect())
            await asyncio.shield(self.connecting)
        return await connection.ask()

    def take(self):
        if len(self.connections) < CONNECTIONS:
            return None
        for _ in range(len(self.connections)):
            connection = self.connections[0]
            self.connections.rotate()
            if connection.ends:
                self.connections.remove(connection)
            elif connection.has_room():
                return connection
        return None

    async def connect(self):
        try:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(http2.Connection, "127.0.0.1", self.port)
            self.connections.append(connection)
        finally:
            self.connecting = None


async def capacity(server, seconds):
    """Requests a second that closed-loop clients get."""
    answered, end = 0, time.monotonic() + seconds

    async def client():
        nonlocal answered
        while time.monotonic() < end:
            status = await server.ask()
            answered += status == 200

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return answered / seconds


async def overload(server, rate, seconds):
    """What became of requests that are sent at this rate."""
    outcomes, tasks = collections.Counter(), set()

    async def one():
        try:
            async with asyncio.timeout(PATIENCE):
                outcome = await server.ask()
            outcomes[outcome] += 1
        except TimeoutError:
            outcomes["timed out"] += 1
        except (OSError, asyncio.IncompleteReadError) as error:
            outcomes[type(error).__name__] += 1

    began, sent = time.monotonic(), 0
    while (now := time.monotonic() - began) < seconds:
        while sent < now * rate:
            task = asyncio.ensure_future(one())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        await asyncio.sleep(0.001)
    await asyncio.gather(*tasks)
    return sent, outcomes


def memory(group):
    """MiB of all processes of the server's group."""
    pages = sum(int(fields[21]) for _, fields in stats(group))
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def watched(group, work):
    """The work's result, and the largest memory meanwhile."""
    most, task = 0, asyncio.ensure_future(work)
    while not task.done():
        most = max(most, memory(group))
        await asyncio.wait([task], timeout=0.25)
    return task.result(), most


async def measure(server, group, args):
    # The worker is ready.
    await server.ask()
    rate, before = await watched(group, capacity(server, args.seconds))
    print(f"capacity: {rate:.0f}/s, {before:.0f} MiB")
    (sent, outcomes), during = await watched(group, overload(server, rate * args.times, args.seconds))
    good = outcomes[200] / args.seconds
    print(f"at {sent / args.seconds:.0f}/s: {good:.0f}/s answered, {good / rate:.0%} of the capacity, {during:.0f} MiB")
    print("outcomes:", dict(outcomes))
    return good / rate


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--times", type=float, default=10)
    parser.add_argument("--http2", action="store_true")
    parser.add_argument("--realtime", action="store_true")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    (port,) = free_ports(1)
    command = [part.replace("{port}", str(port)) for part in args.command]
    if args.realtime:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    with serve(command, port) as group:
        asyncio.run(measure(Http2(port) if args.http2 else Http1(port), group, args))


if __name__ == "__main__":
    main()
