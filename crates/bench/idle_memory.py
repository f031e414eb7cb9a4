#!/usr/bin/env python3
"""How much memory of its worker an idle connection takes: plain, over TLS, by HTTP/2, and both.

    idle_memory.py [--connections 10000] [--server target/release/hostler] [KIND ...]

Each connection is made from an address of its own thousand (127.0.0.x), makes one request, reads the response, and rests. Printed for
each kind: the bytes by which the worker's own memory (RssAnon) grew, for each connection, and that each can be used again.
A first thousand connections, made and closed before, give the allocator what it keeps anyway.
"""

import argparse
import pathlib
import re
import socket
import ssl
import sys
import time

from http2 import PREFACE, frame
from serving import certificate, free_ports, many_descriptors, serve, worker

ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
FROM_ONE_ADDRESS = 1_000
WARM_UP = 1_000
# Of HTTP/2, h2 allocates 28 KB for each connection, and keeps them.
BOUNDS = {"plain": 8 << 10, "tls": 20 << 10, "http2": 40 << 10, "http2-tls": 56 << 10}


# GET http://a/ by indices of the static table (RFC 7541, Appendix A).
HEADERS = bytes([0x82, 0x86, 0x84, 0x41, 1]) + b"a"
GREETING = PREFACE + frame(4, 0, 0)


class Client:
    """A connection of some kind."""

    def __init__(self, kind, number, ports, trust):
        self.http2, over_tls = "http2" in kind, "tls" in kind
        source = (f"127.0.0.{2 + number // FROM_ONE_ADDRESS}", 0)
        self.socket = socket.create_connection(("127.0.0.1", ports[over_tls]), 30, source)
        if over_tls:
            self.socket = trust.wrap_socket(self.socket, server_hostname="localhost")
        if self.http2:
            self.socket.sendall(GREETING)
        self.stream = 1

    def ask(self):
        if self.http2:
            self.socket.sendall(frame(1, 5, self.stream, HEADERS))
            self._read_stream()
            self.stream += 2
        else:
            self.socket.sendall(ASK)
            answer = b""
            while not answer.endswith(b"Hello, world!"):
                answer += self._some()

    def _some(self):
        return self.socket.recv(65536) or sys.exit("the server closed a connection")

    def _read_stream(self):
        buffer, ended = b"", False
        while not ended:
            buffer += self._some()
            while len(buffer) >= 9 and len(buffer) >= (size := 9 + int.from_bytes(buffer[:3], "big")):
                kind, flags = buffer[3], buffer[4]
                if kind == 4 and not flags & 1:
                    self.socket.sendall(frame(4, 1, 0))
                ended |= kind in (0, 1) and bool(flags & 1)
                buffer = buffer[size:]


def memory(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) << 10


def settled(pid):
    """The memory when it no longer shrinks."""
    last, now = None, memory(pid)
    while last is None or now < last:
        time.sleep(2)
        last, now = now, memory(pid)
    return now


def measure(kind, args):
    ports = free_ports(2)
    with certificate() as pem:
        trust = ssl.create_default_context(cafile=pem)
        trust.set_alpn_protocols(["h2" if "http2" in kind else "http/1.1"])
        command = [args.server, "hello:asgi", "--workers", "1", "--port", str(ports[0]), "--keep-alive", "3600"]
        command += ["--http1-header-read-timeout", "60000", "--ssl-bind", f"127.0.0.1:{ports[1]}", "--ssl-certificate", pem]
        command += ["--python", args.python]
        with serve(command, ports[0]) as group:
            pid = worker(group)
            early = [Client(kind, number, ports, trust) for number in range(WARM_UP)]
            [client.ask() for client in early]
            [client.socket.close() for client in early]
            before = settled(pid)
            clients = []
            for number in range(args.connections):
                clients.append(Client(kind, number, ports, trust))
                clients[-1].ask()
            each = (settled(pid) - before) / len(clients)
            for client in clients[:: max(len(clients) // 200, 1)]:
                client.ask()
    bound = BOUNDS.get(kind)
    judged = "" if bound is None else f", at most {bound} asked: {'good' if each <= bound else 'TOO MUCH'}"
    print(f"{kind}: {each:.0f} bytes for each of {args.connections} idle connections{judged}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--server", default="target/release/hostler")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("kinds", nargs="*", default=["plain", "tls", "http2", "http2-tls"])
    args = parser.parse_args()
    if many_descriptors() < args.connections + 100:
        sys.exit(f"at most {many_descriptors()} descriptors may be had: run it with `prlimit --nofile`, or as root")
    for kind in args.kinds:
        measure(kind, args)


if __name__ == "__main__":
    main()
