"""What the measuring scripts share: a server for a while, its processes, a certificate, many descriptors."""

import contextlib
import glob
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time

APPS = pathlib.Path(__file__).parent / "apps"
TICKS = os.sysconf("SC_CLK_TCK")


def many_descriptors():
    """As many as may be had; children inherit it. Returns how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@contextlib.contextmanager
def certificate():
    """The path of a file with a certificate for localhost and its key."""
    with tempfile.TemporaryDirectory() as place:
        key, pem = f"{place}/key", f"{place}/tls.pem"
        make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        make += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", pem]
        subprocess.run(make, check=True, stderr=subprocess.DEVNULL)
        with open(pem, "a") as file:
            file.write(pathlib.Path(key).read_text())
        yield pem


@contextlib.contextmanager
def serve(command, port):
    """Runs a server in crates/bench/apps until the block ends; yields its process group."""
    command = [os.path.abspath(command[0]), *command[1:]]
    log = tempfile.TemporaryFile()
    server = subprocess.Popen(command, cwd=APPS, start_new_session=True, stderr=log)
    try:
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > until or server.poll() is not None:
                    log.seek(0)
                    sys.exit(f"the server does not listen: {' '.join(command)}\n{log.read().decode()}")
                time.sleep(0.1)
        yield server.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def stats(group):
    """The processes of a group, each with its fields in /proc/PID/stat from the state on (proc(5))."""
    for stat in glob.glob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            fields = pathlib.Path(stat).read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                yield int(stat.split("/")[2]), fields


def processes(group):
    """The processes of a group, each with the processor time that it used, in seconds."""
    return {pid: (int(fields[11]) + int(fields[12])) / TICKS for pid, fields in stats(group)}


def worker(group):
    """The worker with the lowest process id, once there is one."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for pid in sorted(processes(group)):
            with contextlib.suppress(OSError):
                if b"worker" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                    return pid
        time.sleep(0.1)
    sys.exit("there is no worker")
