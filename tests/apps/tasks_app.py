"""An application with tasks: /start/NAME/ARGUMENT enqueues one and says its id, /result/ID waits for its result."""

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
        task = {"double": double, "pid": pid, "wait_for": wait_for, "bears_it": bears_it}[argument]
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
