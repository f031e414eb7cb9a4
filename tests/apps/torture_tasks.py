"""Served by `cargo xtask torture`: /start/NUMBER/KIND/MILLIS enqueues a task and says its id, /result/ID waits for its result.

Each run of a task is in the file that TORTURE_RUNS names: when it begins, and how it ends.
"""

import asyncio
import os
import time

from hostler import tasks


def note(what, number):
    line = f"{number} {what} {os.getpid()}\n".encode()
    descriptor = os.open(os.environ["TORTURE_RUNS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line)
    os.close(descriptor)


@tasks.task(retries=1, backoff=0.05)
def works(number, millis, fails):
    note("begins", number)
    if fails and tasks.current_task().attempt == 1:
        note("fails", number)
        raise ValueError("as it should")
    time.sleep(millis / 1000)
    note("ends", number)
    return number * 3


@tasks.task
async def waits(number, millis):
    note("begins", number)
    await asyncio.sleep(millis / 1000)
    note("ends", number)
    return number * 3


async def answer(path):
    _, what, *arguments = path.split("/")
    if what == "result":
        try:
            return 200, str(await tasks.handle(arguments[0]))
        except tasks.TaskError as error:
            return 410, f"{type(error).__name__}: {error}"
    number, kind, millis = int(arguments[0]), arguments[1], int(arguments[2])
    try:
        handle = await (waits.delay_async(number, millis) if kind == "waits" else works.delay_async(number, millis, kind == "fails"))
    except tasks.QueueUnavailable as error:
        return 503, str(error)
    return 200, handle.id


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    status, body = await answer(scope["path"])
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})
