"""An application that does to the server what it should survive: the tests of safety."""

import asyncio
import ctypes
import logging
import os
import signal
import subprocess
import sys

# Two pages of memory.
SCOREBOARD_PAGE = 8192


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return await send({"type": "lifespan.shutdown.complete"})
    name, _, argument = scope["path"].strip("/").partition("/")
    text = globals()["on_" + name](argument)
    if asyncio.iscoroutine(text):
        text = await text
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(text).encode()})


def on_pid(argument):
    return os.getpid()


def on_truncate(argument):
    """Truncates whatever a process has open, itself or another; says which of it was shared memory of ours."""
    told = []
    directory = f"/proc/{argument or 'self'}/fd"
    for number in os.listdir(directory):
        path = f"{directory}/{number}"
        try:
            link = None
            link = os.readlink(path)
            if "memfd:" not in link or "stacks" in link:
                continue
            # Of another process's descriptors a new one is made, as only the same user may.
            with open(path, "r+b", buffering=0) as file:
                file.truncate(0)
            told.append(f"{link} truncated")
        except OSError as error:
            if link is None:
                continue
            told.append(f"{link} {error.strerror}")
    return "; ".join(told)


def on_overwrite(argument):
    """Tries to have all mapped pages of the scoreboard for writing; how many of them it can have."""
    libc = ctypes.CDLL(None, use_errno=True)
    writable = 0
    with open("/proc/self/maps") as maps:
        lines = [line for line in maps if "hostler-scoreboard" in line]
    for line in lines:
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        if libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(end - start), 3) == 0:
            writable += (end - start) // SCOREBOARD_PAGE
    return writable


def on_signals(argument):
    """Which signals a program that the application starts finds ignored or blocked."""
    # Of its own accord `subprocess` restores what Python itself ignores.
    told = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout
    return "".join(line + "\n" for line in told.splitlines() if line.startswith(("SigIgn", "SigBlk")))


def on_identity(argument):
    names = ("HOME", "USER", "LOGNAME")
    environment = " ".join(f"{name}={os.environ.get(name)}" for name in names)
    mask = os.umask(0)
    os.umask(mask)
    return f"uid={os.getuid()} gid={os.getgid()} groups={sorted(os.getgroups())} umask={mask:o} {environment}"


def on_print(argument):
    print("printed", file=sys.stderr, flush=True)
    return "printed"


def on_files(argument):
    """What is open in this process."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            pass
    return "\n".join(links)


def on_kill(argument):
    os.kill(os.getpid(), signal.Signals[argument])
    return "alive"


def on_log(argument):
    """So many lines of unconfigured logging."""
    for number in range(int(argument)):
        logging.getLogger("hostile").warning("line %d %s", number, "x" * 80)
    return "logged"


def on_close(argument):
    """Closes every descriptor that a careless program would."""
    os.closerange(2, 3)
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            link = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if link.startswith("pipe:") or "fifo" in link:
            os.close(number)
    return "closed"


def on_exit(argument):
    """Ends the event loop, after this response."""
    asyncio.get_running_loop().call_later(0.05, sys.exit, 7)
    return "exits"
