"""An application with tasks, which every engine runs: /start/NAME/JSON enqueues one and says its id, /result/ID waits for its result."""

import asyncio
import json
import os
import time
import urllib.parse

from hostler import tasks
from hostler.tasks import Retry, cron, current_task, task


@task
def double(x):
    return 2 * x


@task
async def double_later(x):
    await asyncio.sleep(0)
    return 2 * x


@task(retries=2, backoff=0.05)
def flaky():
    if current_task().attempt < 3:
        raise ValueError("not yet")
    return current_task().attempt


@task(retries=1)
def again():
    if current_task().attempt == 1:
        raise Retry(after=0.05)
    return "again"


@task(retries=1, backoff=0.05)
def fails():
    raise KeyError("x")


@task
def exits():
    raise SystemExit(3)


@task(timeout=0.3)
def spins():
    while True:
        pass


@task(timeout=0.3)
async def sleeps():
    await asyncio.sleep(60)


@task
def unwritable():
    return object()


@task(serializer="pickle")
def pickled(value):
    return {value}


@task(result_ttl=0)
def forgotten():
    return 1


def started(path):
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")


@task
def waits_for(path):
    """Says in a file that it has started, and ends when another one is there."""
    started(path)
    current_task().progress(0.4, "waiting")
    while not os.path.exists(path + ".go"):
        time.sleep(0.01)
    return "waited"


@task
async def waits_for_later(path):
    started(path)
    current_task().progress(0.4, "waiting")
    while not os.path.exists(path + ".go"):
        await asyncio.sleep(0.01)
    return "waited"


@task
def bears(path):
    """Hears nothing for a while."""
    started(path)
    time.sleep(15)


@task
def dies(path):
    started(path)
    os._exit(1)


if os.environ.get("SITE_NEWER"):

    @task
    def newer():
        return "newer"


@task(rate="10/s")
def seldom(path):
    started(path)
    return time.time()


@task
def notes(path, text):
    with open(path, "a") as file:
        file.write(text)


@cron("* * * * * *")
def ticks():
    path = os.environ.get("SITE_TICKS")
    if path:
        with open(path, "a") as file:
            file.write(f"{int(time.time())}\n")


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    _, what, argument, *rest = scope["path"].split("/", 3)
    try:
        if what == "start":
            arguments = json.loads(urllib.parse.unquote(scope["query_string"].decode()) or "[]")
            body = (await globals()[argument].delay_async(*arguments)).id
        elif what == "blocks":
            # How long `delay` holds the loop up, in milliseconds: the median, as the machine is busy with other things, too.
            times = []
            for n in range(21):
                began = time.perf_counter()
                double.delay(n)
                times.append(time.perf_counter() - began)
                await asyncio.sleep(0.005)
            body = str(sorted(times)[10] * 1000)
        else:
            body = json.dumps(await tasks.handle(argument))
    except tasks.TaskError as error:
        body = f"{type(error).__name__}: {error}"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})
