"""Tasks for tests, and a process that runs them: `task_site.py work QUEUE SLOTS`."""

import asyncio
import os
import signal
import sys
import time

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


@task
def fails():
    raise KeyError("x")


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


@task
def waits_for(path):
    current_task().progress(0.4, "waiting")
    with open(path, "a") as file:
        file.write("started\n")
    while not os.path.exists(path + ".go"):
        time.sleep(0.01)
    return "waited"


@task
async def waits_for_later(path):
    with open(path, "a") as file:
        file.write("started\n")
    while not os.path.exists(path + ".go"):
        await asyncio.sleep(0.01)
    return "waited"


@task
def blocks(path):
    """Hears nothing."""
    with open(path, "a") as file:
        file.write("started\n")
    time.sleep(3)


@task
def forks(path):
    """Leaves a process behind that ends when the file is there."""
    if os.fork() == 0:
        deadline = time.monotonic() + 60
        while not os.path.exists(path) and time.monotonic() < deadline:
            time.sleep(0.01)
        os._exit(0)
    return os.getpid()


@task
def reads_all_files(folder):
    """As a backup does."""
    for name in os.listdir(folder):
        if not name.endswith(".sock"):
            open(os.path.join(folder, name), "rb").close()


@task
def dies(path):
    with open(path, "a") as file:
        file.write("started\n")
    if current_task().attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return "lived"


@cron("* * * * * *")
def ticks():
    return int(time.time())


async def main(queue, slots):
    from hostler.tasks._worker import Worker

    worker = Worker(queue, source="task_site", slots=int(slots))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await worker.start()
    worker.take()
    print("working", flush=True)
    await asyncio.wait([asyncio.ensure_future(stop.wait()), worker.stuck], return_when=asyncio.FIRST_COMPLETED)
    await worker.drain(0.3)


if __name__ == "__main__":
    import task_site

    asyncio.run(task_site.main(*sys.argv[2:]))
    os._exit(0)
