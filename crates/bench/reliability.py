#!/usr/bin/env python3
"""What happens to requests while workers are replaced, hang or are killed; for any server that has signals.

    reliability.py [--seconds N] [--only SCENARIO] NAME='command with {port}' ...

The applications of this directory's `apps/slow.py` are served: `{app}` in a command stands for it, and its import
takes --import seconds. Scenarios, each on a server of its own:

recycle   HUP every few seconds under a load of kept and new connections; one worker
hung      one of four workers blocked for 10 s; 500 requests on new connections, one after another
spread    80 connections over four workers; how many each has
killed    kill -9 of a random worker every 200 ms under load; three workers

Printed: refused, reset and 5xx responses, the slowest request, and what the scenario is about. `{workers}` in a command
is replaced by the number of workers that the scenario wants.
"""
import argparse, collections, os, random, shlex, signal, socket, subprocess, sys, tempfile, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(port, path, kept=None, timeout=60):
    s = kept or socket.create_connection(("127.0.0.1", port), timeout)
    s.settimeout(timeout)
    close = "" if kept is not None else "Connection: close\r\n"
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        block = s.recv(65536)
        if not block:
            raise ConnectionResetError("closed without a response")
        data += block
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(l.split(b":")[1]) for l in head.lower().split(b"\r\n") if l.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += s.recv(65536)
    closing = b"connection: close" in head.lower()
    if kept is None:
        s.close()
    return int(head.split()[1]), body.decode(), closing


class Load:
    """Half of the clients keep their connections."""

    def __init__(self, port, clients=8):
        self.port, self.stop, self.lock = port, False, threading.Lock()
        self.answered, self.slowest, self.failures = 0, 0.0, collections.Counter()
        self.threads = [threading.Thread(target=self.ask, args=(n % 2 == 0,)) for n in range(clients)]
        for thread in self.threads:
            thread.start()

    def ask(self, keep):
        kept = None
        while not self.stop:
            began = time.monotonic()
            try:
                if keep and kept is None:
                    kept = socket.create_connection(("127.0.0.1", self.port), 60)
                status, _, closing = get(self.port, "/", kept if keep else None)
                if closing and kept is not None:
                    kept.close()
                    kept = None
                problem = None if status == 200 else f"{status // 100}xx"
            except ConnectionRefusedError:
                problem, kept = "refused", None
            except OSError:
                problem, kept = "reset", None
            with self.lock:
                self.slowest = max(self.slowest, time.monotonic() - began)
                if problem:
                    self.failures[problem] += 1
                else:
                    self.answered += 1

    def end(self):
        self.stop = True
        for thread in self.threads:
            thread.join()
        return f"{self.answered} answered, {dict(self.failures) or 'no failure'}, slowest {self.slowest * 1000:.0f} ms"


class Server:
    def __init__(self, command, workers, seconds):
        self.port = free_port()
        line = command.replace("{port}", str(self.port)).replace("{workers}", str(workers)).replace("{app}", "slow:app")
        log = open(os.path.join(tempfile.gettempdir(), "reliability.log"), "w")
        env = {**os.environ, "IMPORT_SECONDS": str(seconds)}
        self.process = subprocess.Popen(
            shlex.split(line), cwd=os.path.join(HERE, "apps"), env=env, stdout=log, stderr=log, start_new_session=True)
        limit = time.monotonic() + 60
        pids = set()
        while len(pids) < workers:
            try:
                pids.add(get(self.port, "/", timeout=2)[1])
            except OSError:
                time.sleep(0.1)
            if time.monotonic() > limit:
                break
        self.pids = pids

    def end(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def recycle(command, args):
    server = Server(command, 1, args.imports)
    load = Load(server.port)
    for _ in range(args.times):
        time.sleep(args.imports + 1.5)
        server.process.send_signal(signal.SIGHUP)
    gone = "" if server.process.poll() is None else "; the server is gone"
    time.sleep(args.imports + 2)
    result = load.end()
    server.end()
    return f"{args.times} reloads, import {args.imports} s: {result}{gone}"


def hung(command, args):
    server = Server(command, 4, 0)
    blocked = socket.create_connection(("127.0.0.1", server.port))
    blocked.sendall(b"GET /block HTTP/1.1\r\nHost: localhost\r\n\r\n")
    time.sleep(0.3)
    waits = []
    for _ in range(500):
        began = time.monotonic()
        try:
            get(server.port, "/", timeout=15)
        except OSError:
            pass
        waits.append(time.monotonic() - began)
        if sum(waits) > 40:
            break
    server.end()
    waits.sort()
    late = sum(wait > 0.05 for wait in waits)
    return (f"{len(waits)} requests, p50 {waits[len(waits) // 2] * 1000:.1f} ms, "
            f"slowest {waits[-1] * 1000:.0f} ms, {late} above 50 ms")


def spread(command, args):
    server = Server(command, 4, 0)
    kept = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(80)]
    count = collections.Counter(get(server.port, "/", s)[1] for s in kept)
    server.end()
    shares = sorted(count.values(), reverse=True) + [0] * (4 - len(count))
    return f"{'/'.join(map(str, shares))}, max/min {shares[0] / shares[-1] if shares[-1] else float('inf'):.2f}"


def killed(command, args):
    server = Server(command, 3, 0)
    load = Load(server.port)
    kills, end = 0, time.monotonic() + args.seconds
    while time.monotonic() < end:
        time.sleep(0.2)
        try:
            os.kill(int(get(server.port, "/", timeout=5)[1]), signal.SIGKILL)
            kills += 1
        except OSError:
            pass
    result = load.end()
    alive = server.process.poll() is None
    server.end()
    return f"{kills} kills in {args.seconds} s: {result}; the server {'lives' if alive else 'is gone'}"


SCENARIOS = {"recycle": recycle, "hung": hung, "spread": spread, "killed": killed}


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("servers", nargs="+", metavar="NAME=COMMAND")
    a.add_argument("--only", choices=SCENARIOS)
    a.add_argument("--imports", type=float, default=5, metavar="SECONDS")
    a.add_argument("--times", type=int, default=5)
    a.add_argument("--seconds", type=int, default=20)
    args = a.parse_args()
    for name, scenario in SCENARIOS.items():
        if args.only in (None, name):
            for server in args.servers:
                label, _, command = server.partition("=")
                try:
                    outcome = scenario(command, args)
                except Exception as error:
                    outcome = f"failed: {error!r}"
                print(f"{name:8} {label:20} {outcome}", flush=True)


if __name__ == "__main__":
    random.seed()
    sys.exit(main())
