"""A room for one page: namespaces of its own, so that ports, paths and files are used as they are written in the page.

Network: only the loopback interface, and every port free. Files: /srv, /run and /var/log are empty, /etc is a copy. Processes:
all that the page has started end with it.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

EMPTY = ("/srv", "/run", "/var/log")
UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1


def enter(script: str, arguments: list[str], **options) -> subprocess.CompletedProcess:
    """Runs a script of this directory in a room, and gives what it printed."""
    command = [*UNSHARE, sys.executable, script, *arguments]
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)


def furnish(checkout: Path, hostler: Path, python: Path) -> dict[str, str]:
    """Makes the room out of the namespaces that this process is in. The environment of the page's commands is returned."""
    for directory in EMPTY:
        if checkout.is_relative_to(directory):
            raise SystemExit(f"the documents cannot be tried in a checkout below {directory}")
    _loopback_up()
    _mount("-t", "tmpfs", "room", "/srv")
    subprocess.run(["cp", "-a", "/etc", "/srv/etc"], check=True)
    _mount("--bind", "/srv/etc", "/etc")
    _mount("-t", "tmpfs", "room", "/srv")
    _mount("-t", "tmpfs", "room", "/run")
    _mount("-t", "tmpfs", "room", "/var/log")
    for directory in ("/srv/shop", "/srv/home", "/srv/bin", "/run/shop", "/var/log/nginx", "/etc/shop"):
        os.makedirs(directory)
    Path("/etc/nginx/sites-enabled/default").unlink(missing_ok=True)
    # Names of the pages are this machine.
    with open("/etc/hosts", "a") as hosts:
        hosts.write("127.0.0.1 shop.example.com\n")
    os.symlink(hostler, "/srv/bin/hostler")
    os.chdir("/srv/shop")
    # Nothing of the environment that the tests run in, but where programs are.
    return {
        "PATH": f"/srv/bin:{python.parent}:{os.environ['PATH']}",
        "HOME": "/srv/home",
        "LANG": "C.UTF-8",
        "HOSTLER_PYTHON": str(python),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _mount(*arguments: str):
    subprocess.run(["mount", *arguments], check=True)


def _loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))
