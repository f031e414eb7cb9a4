"""An application with tasks: /start/NAME/ARGUMENT enqueues one and says its id, /result/ID waits for its result."""

import ctypes
import os
import time

from hostler import tasks


@tasks.task
def double(x):
    return 2 * int(x)


@tasks.task
async def pid(_):
    return os.getpid()


@tasks.task
def wait_for(path):
    """Says in a file that it has started, and ends when another one is there."""
    path = "/" + path
    with open(path + ".started", "a") as file:
        file.write(f"{os.getpid()}\n")
    while not os.path.exists(path + ".go"):
        time.sleep(0.01)
    return "waited"


@tasks.task
def hold_memory(path):
    """As wait_for, with 200 MiB more memory from then on."""
    global held
    held = bytearray(os.urandom(1 << 20) * 200)
    return wait_for(path)


@tasks.task(timeout=0.2)
def keep_gil(_):
    """C code that lets nothing else run."""
    ctypes.PyDLL(None).sleep(3600)


@tasks.task
async def block_loop(path):
    return wait_for(path)


@tasks.task(timeout=0.2)
def bears_it(_):
    """Cannot be interrupted for a while."""
    deadline = time.monotonic() + 3600
    while time.monotonic() < deadline:
        try:
            while True:
                time.sleep(0.01)
        except tasks.TaskTimeout:
            pass


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    _, what, argument, *rest = scope["path"].split("/", 3)
    if what == "start":
        task = globals()[argument]
        body = (await task.delay_async("/".join(rest))).id
    elif what == "status":
        info = await tasks.handle(argument).info_async()
        body = f"{info.status} {info.attempts}"
    else:
        try:
            body = str(await tasks.handle(argument))
        except tasks.TaskError as error:
            body = f"{type(error).__name__}: {error}"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})
