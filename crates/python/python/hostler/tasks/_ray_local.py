"""The Ray cluster of a server's own (`--task-ray-address local`): a companion of it, which becomes `ray start --head --block`."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import sys
import time
from importlib.metadata import PackageNotFoundError, version

#: From which on a cluster can be closed to whom has no token: it listens on all addresses of the machine.
_OLDEST = (2, 52)
#: What it says when it has started.
_STARTED = "Ray runtime started"


def main(port: str) -> str | None:
    """What is wrong, if something is."""
    try:
        found = version("ray")
    except PackageNotFoundError:
        return f"--task-engine ray needs Ray, in this Python ({sys.executable}): pip install ray"
    if tuple(map(int, found.split(".")[:2])) < _OLDEST:
        return f"--task-ray-address local needs Ray {'.'.join(map(str, _OLDEST))} or later, and this is {found}: pip install --upgrade ray"
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(port)), 3):
        return f"127.0.0.1:{port} is in use: --task-ray-address local:PORT has the cluster of this server listen on another port"
    token = os.environ["RAY_AUTH_TOKEN_PATH"]
    folder = os.path.dirname(token)
    # What clusters before have left there.
    shutil.rmtree(folder, ignore_errors=True)
    try:
        os.mkdir(folder, 0o700)
        with open(token, "x") as file:
            file.write(secrets.token_hex(32))
    except OSError as error:
        return f"the directory of a Ray cluster cannot be made: {error}"
    os.environ.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats", "--include-dashboard=false"]
    command += ["--node-ip-address", "127.0.0.1", "--port", port, "--temp-dir", folder]
    # Several clusters on a machine share no ports.
    command += ["--min-worker-port", "0", "--max-worker-port", "0", "--dashboard-agent-listen-port", "0"]
    print(f"starting Ray on 127.0.0.1:{port}, its logs are in {folder}", flush=True)
    # A page of advice.
    log = os.path.join(folder, "start.log")
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT, 0o600), 1)
    if os.fork() == 0:
        os._exit(_tell(log, os.getppid()))
    os.execv(sys.executable, command)


def _tell(log: str, starts: int) -> int:
    """Tells the server when the cluster has started, which listens before it can be joined."""
    notified = os.environ.get("NOTIFY_SOCKET")
    while notified and os.getppid() == starts:
        with open(log) as file:
            if _STARTED in file.read():
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as said:
                    said.sendto(b"READY=1", notified.replace("@", "\0", 1))
                return 0
        time.sleep(0.1)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
