"""Tasks that do what nobody should, and a process that runs them: `odd_site.py work QUEUE SLOTS`."""

import asyncio
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

import task_site

from hostler import tasks
from hostler.tasks import Retry, task

pools = []


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("it has no text")


class Trap(dict):
    def items(self):
        raise KeyboardInterrupt


@task(retries=1)
def asks_again(after):
    if tasks.current_task().attempt == 1:
        raise Retry(after=after)
    return "again"


@task
def asks_wrongly(after):
    raise Retry(after=after)


@task(retries=1)
def asks_by_hand():
    retry = Retry()
    retry.after = float("inf")
    raise retry


@task
def raises_mute():
    raise Mute


@task
async def raises_mute_later():
    raise Mute


@task
def raises_half_a_pair():
    raise ValueError("a\udcff")


@task
def returns_trap():
    return Trap(a=1)


@task
async def exits():
    sys.exit(3)


@task
def returns_much():
    return "x" * 40_000_000


@task
def keeps_a_pool():
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))
    pools.append(pool)
    return [pool.submit(int).result(), *pool._processes]


@task(timeout=0.3)
def waits_for_another(queue, id):
    tasks.configure(queue)
    return tasks.handle(id).get()


@task(result_ttl=0)
def notes(path, text=""):
    with open(path, "a") as file:
        file.write("ran\n")


def at_noon():
    return "noon"


def declares(expression):
    """Only looks whether it may be declared."""
    from hostler.tasks import _task

    made = tasks.cron(expression, name="odd_site.declares")(at_noon)
    del _task.registry[made.name], _task.schedules[made.name]


if __name__ == "__main__":
    import odd_site

    assert odd_site.task is task
    asyncio.run(task_site.main(*sys.argv[2:]))
