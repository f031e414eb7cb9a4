#!/usr/bin/env python3
"""Counts the user-space instructions of a request, which a busy machine does not change, and holds them to bounds.

    instructions.py --hostler BIN --native BIN [--check | --update] [--requests 1000] [NAME ...]

Each server runs under callgrind twice, at once, with N and with 3 N requests on a kept-alive connection; the difference
of what its workers' serving threads executed, divided by 2 N, has neither start-up nor warm-up in it. The bounds stand in
instructions.toml beside this file, by the Python that runs this script. Needs valgrind.
"""

import argparse
import concurrent.futures
import glob
import os
import pathlib
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
BOUNDS = HERE / "instructions.toml"
PYTHON = "python-%d-%d" % sys.version_info[:2]
ASGI = "{hostler} body:asgi --interface asgi --no-log --port {port} --python {python}"
WSGI = "{hostler} hello:wsgi --interface wsgi --no-log --port {port} --python {python}"
# In the combined format.
LOGGED = " --access-logfile /dev/null"
# Name, section of the bounds, command; and one, if what counts is how much more the first takes.
CASES = {
    "asgi-body": (PYTHON, ASGI, None),
    "wsgi-hello": (PYTHON, WSGI, None),
    "native-hello": ("native", "valgrind --tool=callgrind {native} {port}", None),
    "asgi-access-line": (PYTHON, ASGI + LOGGED, ASGI),
    "wsgi-access-line": (PYTHON, WSGI + LOGGED, WSGI),
}
# How many requests are ready in one turn of the loop depends on how busy the machine is, unless there is one client that
# pauses: each request finds a server that waits.
PAUSE = 0.002
START_LIMIT = 240
ASK = b"GET / HTTP/1.1\r\nHost: bench\r\nAccept: */*\r\nUser-Agent: bench\r\n\r\n"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def read_answer(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        got = sock.recv(65536)
        if not got:
            raise ConnectionError("closed before a response")
        data += got
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])
    while len(body) < length:
        body += sock.recv(65536)
    if not head.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(head[:60])


def request(port, count):
    with socket.create_connection(("127.0.0.1", port), 60) as sock:
        sock.settimeout(120)
        for _ in range(count):
            sock.sendall(ASK)
            read_answer(sock)
            time.sleep(PAUSE)


def wait_ready(server, port, log):
    end = time.monotonic() + START_LIMIT
    while True:
        try:
            return request(port, 8)
        except OSError:
            if time.monotonic() > end or server.poll() is not None:
                server.kill()
                sys.exit(f"the server does not start:\n{pathlib.Path(log).read_text()[-2000:]}")
            time.sleep(0.2)


def executed(a, command, count):
    """What the serving threads of a server's workers execute for so many requests, start and stop included."""
    with tempfile.TemporaryDirectory(prefix="instructions-") as folder:
        # In a file, because the server writes titles over its arguments, which are valgrind's, too.
        options = ("--trace-children=yes\n--callgrind:separate-threads=yes\n"
                   f"--callgrind:callgrind-out-file={folder}/out.%p\n")
        pathlib.Path(folder, ".valgrindrc").write_text(options)
        # Workers are forked from the interpreter; the master has no part in a request.
        python = pathlib.Path(folder, "python")
        own = shlex.quote(sys.executable)
        # The interpreter's answers to the server's questions (-I) are needed in time.
        python.write_text(f'#!/bin/sh\n[ "$2" = -S ] || set -- valgrind --tool=callgrind {own} "$@"\n'
                          f'[ "$1" = valgrind ] || set -- {own} "$@"\nexec "$@"\n')
        python.chmod(0o755)
        port = free_port()
        line = command.format(hostler=a.hostler, native=a.native, python=python, port=port)
        log = f"{folder}/log"
        with open(log, "w") as output:
            server = subprocess.Popen(
                shlex.split(line),
                cwd=HERE / "apps",
                env={**os.environ, "HOME": folder, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
                stdout=output,
                stderr=output,
            )
        try:
            wait_ready(server, port, log)
            request(port, count)
        finally:
            server.terminate()
            server.wait(120)
        # The master's work goes by the clock. So does that of a worker's other threads (the attendant looks every few
        # milliseconds, not with every request), and here each request takes many times as long as elsewhere.
        profiles = [file for file in glob.glob(f"{folder}/out.*-01") if not file.endswith(f".{server.pid}-01")]
        totals = [re.search(r"^(?:totals|summary): (\d+)", pathlib.Path(file).read_text(errors="replace"), re.M)
                  for file in profiles]
        return sum(int(total[1]) for total in totals if total)


def measure(a, command):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        many, few = pool.map(lambda count: executed(a, command, count), (3 * a.requests, a.requests))
    return round((many - few) / (2 * a.requests))


def count_of(a, command, without, counts):
    """What a case takes, or how much more that is than what it is compared with, which is measured once."""
    if without and without not in counts:
        counts[without] = measure(a, without)
    counts[command] = measure(a, command)
    return counts[command] - counts.get(without, 0)


def write(bounds):
    lines = BOUNDS.read_text().splitlines()
    comments = [line for line in lines if line.startswith("#")]
    tables = [f"\n[{section}]\n" + "".join(f"{name} = {count}\n" for name, count in sorted(counts.items()))
              for section, counts in sorted(bounds.items()) if isinstance(counts, dict)]
    head = [*comments, f"tolerance-percent = {bounds['tolerance-percent']}", ""]
    BOUNDS.write_text("\n".join(head) + "".join(tables))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--hostler", required=True)
    p.add_argument("--native", required=True)
    p.add_argument("--requests", type=int, default=1000)
    p.add_argument("--check", action="store_true", help="fail if a bound is exceeded")
    p.add_argument("--update", action="store_true", help="make what is measured the bounds")
    p.add_argument("names", nargs="*", default=[])
    a = p.parse_args()
    bounds = tomllib.loads(BOUNDS.read_text())
    tolerance = bounds["tolerance-percent"] / 100
    exceeded, counts = [], {}
    for name in a.names or CASES:
        section, command, without = CASES[name]
        bound = bounds.get(section, {}).get(name)
        most = bound and bound * (1 + tolerance)
        count = count_of(a, command, without, counts)
        for _ in range(2):
            # Once may be chance; three times are not.
            if a.check and most and count > most:
                count = min(count, count_of(a, command, without, counts))
        told = f"the bound is {bound}" if bound else f"there is no bound for {section}"
        print(f"{name:16} {count:8} instructions a request; {told}", flush=True)
        if most and count > most:
            exceeded.append(f"{name}: {count}, which is {count / bound - 1:.1%} more than {bound}")
        if a.update:
            bounds.setdefault(section, {})[name] = count
    if a.update:
        write(bounds)
    elif a.check and exceeded:
        sys.exit("a request has become dearer by more than %g %%:\n  %s\nmake it cheaper; or, if it is worth it, say so "
                 "in the commit that runs `cargo xtask instructions --update`" % (tolerance * 100, "\n  ".join(exceeded)))


if __name__ == "__main__":
    main()
