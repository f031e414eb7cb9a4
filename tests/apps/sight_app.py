"""An application with tasks to look at: /start/NAME/ARGUMENT enqueues one and says its id."""

import os
import time

from hostler import tasks


@tasks.task
def double(x):
    return 2 * int(x)


@tasks.task(queue="mail")
def fails(what):
    if not os.path.exists("/" + what):
        raise ValueError(f"there is no {what}")
    return "it is there"


@tasks.task
def works(path):
    """Runs until a file is there."""
    tasks.current_task().progress(0.25, "a quarter")
    while not os.path.exists("/" + path):
        time.sleep(0.01)


@tasks.task
async def blocks(seconds):
    """Blocks its worker's loop."""
    time.sleep(float(seconds))


NAMES = {it.function.__name__: it for it in (double, fails, works, blocks)}


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    _, what, name, *rest = scope["path"].split("/", 3)
    if what == "start":
        body = (await NAMES[name].delay_async("/".join(rest))).id
    elif what == "later":
        body = (await NAMES[name].enqueue_async("/".join(rest), countdown=3600)).id
    else:
        try:
            body = str(await tasks.handle(name))
        except tasks.TaskError as error:
            body = f"{type(error).__name__}: {error}"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})
