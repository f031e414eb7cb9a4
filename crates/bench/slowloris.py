#!/usr/bin/env python3
"""How much slow clients delay others: 1,000 of each kind and 1,000 idle connections beside normal load on one synchronous worker.

    slowloris.py [--clients 1000] [--seconds 20] [--rate 100] [--rounds 3] [--realtime] [--server target/release/hostler] [KIND ...]

Kinds: head (byte by byte), body (byte by byte), reader (asks for 1 MiB and reads nothing), tls (half a ClientHello), http2 (opens no
window), idle. All of them at once unless some are named. The load is requests of 3 ms each at a fixed rate; its latency counts from when a
request was due. Measured in turn without and with the slow clients, several rounds; printed are the medians of the rounds' p50 and p99,
their ratio (at most 1.2 asked), and the share of a processor that the worker takes. With --realtime server and load go before
all other programs of the machine (SCHED_FIFO, needs root), so that only the server's own work counts on a busy one.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import socket
import ssl
import statistics
import sys
import time

from http2 import PREFACE, frame
from serving import certificate, free_ports, many_descriptors, processes, serve, worker

ASK = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
CONNECTIONS = 16
PACE = 1.0
COMES_WITHIN = 15.0


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


HELLO = client_hello()
QUICK = b"/quick"
# SETTINGS with INITIAL_WINDOW_SIZE 0, and GET http://a/quick (RFC 7541, Appendix A).
NO_WINDOW = PREFACE + frame(4, 0, 0, b"\x00\x04\x00\x00\x00\x00")
NO_WINDOW += frame(1, 5, 1, bytes([0x82, 0x86, 0x41, 1]) + b"a" + bytes([0x44, len(QUICK)]) + QUICK)

# What each kind sends at once, and what byte after byte.
KINDS = {
    "head": (b"GET / HTTP/1.1\r\nHost: bench\r\nX-Slow: ", b"a"),
    "body": (b"POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: 1000000\r\n\r\n", b"a"),
    "reader": (b"GET /large HTTP/1.1\r\nHost: bench\r\n\r\n", None),
    "tls": (HELLO[: len(HELLO) // 2], None),
    "http2": (NO_WINDOW, None),
    "idle": (b"GET /quick HTTP/1.1\r\nHost: bench\r\n\r\n", None),
}


async def slow(kind, ports, number, count, made):
    """One client, which comes again when the server has enough of it."""
    loop = asyncio.get_running_loop()
    first, rest = KINDS[kind]
    # Not all at once: they come again as they have come.
    await asyncio.sleep(number / count * COMES_WITHIN)
    while True:
        with socket.socket() as s, contextlib.suppress(OSError):
            s.setblocking(False)
            if kind == "reader":
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await loop.sock_connect(s, ("127.0.0.1", ports[kind == "tls"]))
            await loop.sock_sendall(s, first)
            made[0] += 1
            if kind == "reader":
                await asyncio.sleep(40)
                continue
            while await still_open(loop, s, rest):
                pass
        await asyncio.sleep(0.2)


async def still_open(loop, s, rest):
    if rest is None:
        return await loop.sock_recv(s, 4096) != b""
    with contextlib.suppress(TimeoutError):
        return await asyncio.wait_for(loop.sock_recv(s, 4096), PACE) != b""
    await loop.sock_sendall(s, rest)
    return True


def attack(kinds, clients, ports, ready):
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))

    async def all():
        made = [0]
        tasks = [asyncio.ensure_future(slow(kind, ports, n, clients, made)) for kind in kinds for n in range(clients)]
        while made[0] < len(tasks):
            await asyncio.sleep(0.2)
        # What the readers asked for is sent as far as they take it.
        await asyncio.sleep(2)
        ready.set()
        await asyncio.gather(*tasks)

    asyncio.run(all())


def load(port, rate, seconds):
    """The latencies of requests at this rate, in milliseconds."""
    latencies = []

    async def client(number):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        begin = time.monotonic() + number / rate
        for turn in range(int(seconds * rate / CONNECTIONS)):
            due = begin + turn * CONNECTIONS / rate
            await asyncio.sleep(max(due - time.monotonic(), 0))
            writer.write(ASK)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(2)
            if not head.startswith(b"HTTP/1.1 200"):
                sys.exit(f"the load got {head!r}")
            latencies.append((time.monotonic() - due) * 1000)
            if b"connection: close" in head.lower():
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    async def all():
        await asyncio.gather(*(client(number) for number in range(CONNECTIONS)))

    asyncio.run(all())
    return sorted(latencies)


def measure(group, pid, port, args):
    before, begin = processes(group)[pid], time.monotonic()
    latencies = load(port, args.rate, args.seconds)
    share = (processes(group)[pid] - before) / (time.monotonic() - begin) * 100
    return latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)], share


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--realtime", action="store_true")
    parser.add_argument("--server", default="target/release/hostler")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("kinds", nargs="*", default=list(KINDS))
    args = parser.parse_args()
    if many_descriptors() < args.clients * len(args.kinds) + 200:
        sys.exit("more descriptors are needed: run it with `prlimit --nofile`, or as root")
    if args.realtime:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    ports, results = free_ports(2), {False: [], True: []}
    with certificate() as pem:
        command = [args.server, "busy:wsgi", "--interface", "wsgi", "--workers", "1", "--port", str(ports[0])]
        command += ["--ssl-bind", f"127.0.0.1:{ports[1]}", "--ssl-certificate", pem, "--python", args.python]
        with serve(command, ports[0]) as group:
            pid = worker(group)
            for turn in range(args.rounds):
                results[False].append(measure(group, pid, ports[0], args))
                ready = multiprocessing.Event()
                attackers = multiprocessing.Process(target=attack, args=(args.kinds, args.clients, ports, ready), daemon=True)
                attackers.start()
                if not ready.wait(COMES_WITHIN + 60):
                    print("the slow clients do not get their connections")
                results[True].append(measure(group, pid, ports[0], args))
                attackers.kill()
                attackers.join()
                time.sleep(3)
    median = {slowly: [statistics.median(column) for column in zip(*rows)] for slowly, rows in results.items()}
    for slowly, (p50, p99, share) in median.items():
        print(f"{'with' if slowly else 'without'} slow clients: p50 {p50:.1f} ms, p99 {p99:.1f} ms, worker {share:.1f} % of a processor")
    print(f"{'+'.join(args.kinds)}: p99 {median[True][1] / median[False][1]:.2f} times")


if __name__ == "__main__":
    main()
