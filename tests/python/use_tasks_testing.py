"""`hostler.tasks.testing`: tasks run in the process of the test. Prints `all well`."""

import asyncio
import os
import threading

from expecting import raises

from hostler.tasks import Retry, Status, TaskCancelled, TaskExpired, TaskFailed, TaskTimeout, current_task, handle, task, testing


@task
def add(a, b):
    return a + b


@task(retries=2, backoff=60)
def fails_at_first(until):
    if current_task().attempt < until:
        raise ValueError(f"attempt {current_task().attempt}")
    return current_task().attempt


@task
async def doubled(number):
    current_task().progress(0.5, "half")
    await asyncio.sleep(0)
    return number * 2


@task(timeout=0.01)
async def endless():
    await asyncio.sleep(60)


@task
def with_a_loop_of_its_own(number):
    return asyncio.run(plain(number))


async def plain(number):
    return number + 1


@task
def starts_others(count):
    return [add.delay(number, 1).id for number in range(count)]


@task(serializer="pickle")
def its_type(value):
    return type(value)


@task
def asks_again():
    raise Retry("later", after=3600)


@task
def exits():
    raise SystemExit(3)


@task
async def exits_later():
    raise SystemExit(3)


def what_a_queue_does_not_run():
    with testing.at_once() as queue:
        raises(TaskExpired, add.enqueue(1, 2, expires=0).get)
        for leaves in (exits, exits_later):
            assert raises(TaskFailed, leaves.delay().get).type == "SystemExit"
        assert asyncio.run(doubled.delay_async(1)).get() == 2
        raises(TypeError, lambda: add.enqueue(1, 2, key=5))
        assert not queue.waiting


def results_and_errors():
    with testing.at_once() as queue:
        assert add.delay(1, 2).get() == 3
        assert add.enqueue(1, 2, countdown="1h").status() is Status.SUCCEEDED
        assert fails_at_first.delay(3).get() == 3
        failed = fails_at_first.delay(9)
        assert failed.status() is Status.FAILED and failed.info().attempts == 3
        assert "attempt 3" in str(raises(TaskFailed, failed.get))
        assert doubled.delay(4).get() == 8
        assert handle(doubled.delay(4).id).info().progress == 0.5
        assert isinstance(raises(TaskTimeout, endless.delay().get), TaskTimeout)
        assert its_type.delay({1}).get() is set
        # As in a queue: JSON has no tuples, and refuses objects.
        assert add.delay([1], (2,)).get() == [1, 2]
        raises(TypeError, lambda: add.delay(1))
        assert all(handle(id).get() for id in starts_others.delay(3).get())
        assert asks_again.delay().status() is Status.FAILED
        assert queue.waiting == []
    with testing.at_once(raise_errors=True):
        assert "attempt 3" in str(raises(ValueError, lambda: fails_at_first.delay(9)))


def what_a_test_holds():
    with testing.held() as queue:
        made_here = task(name="made_here")(lambda: "here").delay()
        assert queue.run() == 1 and made_here.get() == "here"
        later = add.enqueue(1, 1, eta=4_000_000_000)
        first = add.delay(1, b=2)
        assert [(it.name, it.args, it.kwargs) for it in queue.waiting] == [("use_tasks_testing.add", (1,), {"b": 2}), ("use_tasks_testing.add", (1, 1), {})]
        assert queue.waiting[1].due == 4_000_000_000 and later.status() is Status.SCHEDULED
        raises(TimeoutError, lambda: first.get(0))
        again = add.enqueue(5, 5, key="one")
        assert add.enqueue(6, 6, key="one") == again
        assert again.cancel() is Status.CANCELLED
        raises(TaskCancelled, again.get)
        others = starts_others.delay(2)
        assert queue.run(count=1) == 1 and first.get() == 3
        assert queue.run() == 4, "what tasks enqueue is run as well"
        assert [handle(id).get() for id in others.get()] == [1, 2]


async def in_a_loop():
    with testing.at_once():
        thread = threading.get_ident()
        assert await (await doubled.delay_async(2)) == 4
        # Synchronous tasks have no loop around them.
        assert await (await with_a_loop_of_its_own.enqueue_async(2)) == 3
        assert with_a_loop_of_its_own.delay(2).get() == 3
        assert doubled.delay(2).get() == 4
        assert asyncio.get_running_loop() and threading.get_ident() == thread
    with testing.held() as queue:
        made = await doubled.delay_async(5)
        assert await queue.run_async() == 1 and await made == 10


what_a_queue_does_not_run()
results_and_errors()
what_a_test_holds()
asyncio.run(in_a_loop())
assert not os.path.exists("hostler-tasks.db"), "no queue was made"
print("all well")
