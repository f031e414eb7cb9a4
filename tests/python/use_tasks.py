"""`hostler.tasks` with the embedded engine: real processes that enqueue, keep, work and die. Prints `all well`."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import task_site
from expecting import raises

from hostler import tasks
from hostler.tasks import Status
from hostler.tasks._ahead import Ahead

LIMIT = 60


class Site:
    program = "task_site.py"

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        self.queue = os.path.join(self.folder, "queue.db")
        tasks.configure(self.queue)
        self.workers = []

    def path(self, name):
        return os.path.join(self.folder, name)

    def work(self, slots=1):
        command = [sys.executable, self.program, "work", self.queue, str(slots)]
        worker = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert worker.stdout.readline() == b"working\n"
        self.workers.append(worker)
        return worker

    def stop(self):
        for worker in self.workers:
            if worker.poll() is None:
                worker.terminate()
            worker.stdout.close()
            worker.wait(LIMIT)
        self.workers = []
        shutil.rmtree(self.folder, ignore_errors=True)


def until(what, condition):
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def lines(path):
    return open(path).read().count("\n") if os.path.exists(path) else 0


def what_tasks_return_and_raise(site):
    waiting = task_site.double.delay(4)
    assert waiting.status() is Status.READY
    raises(TimeoutError, lambda: waiting.get(timeout=0.05))
    site.work(slots=4)
    assert waiting.get(LIMIT) == 8
    assert tasks.handle(waiting.id).get(LIMIT) == 8
    assert task_site.double_later.delay(x=5).get(LIMIT) == 10
    assert task_site.flaky.delay().get(LIMIT) == 3
    assert task_site.again.delay().get(LIMIT) == "again"
    assert task_site.pickled.delay(3).get(LIMIT) == {3}
    error = raises(tasks.TaskFailed, lambda: task_site.fails.delay().get(LIMIT))
    assert (error.type, error.message) == ("KeyError", "'x'"), error
    assert error.traceback.splitlines()[1].endswith("in fails"), error.traceback
    for limited in (task_site.spins, task_site.sleeps):
        raises(tasks.TaskTimeout, lambda: limited.delay().get(LIMIT))
    error = raises(tasks.TaskFailed, lambda: task_site.unwritable.delay().get(LIMIT))
    assert error.type == "hostler.tasks.NotSerializable", error
    # The worker lives after all of that.
    assert task_site.double.delay(1).get(LIMIT) == 2
    assert site.workers[0].poll() is None


def what_is_refused_at_the_call(site):
    raises(tasks.NotSerializable, lambda: task_site.double.delay(object()))
    raises(TypeError, lambda: task_site.double.delay())
    raises(tasks.ArgumentsTooLarge, lambda: task_site.double.delay("x" * 2_000_000))
    raises(tasks.NoSuchTask, lambda: tasks.handle("0" * 32).status())
    for wrong in ({"rate": "ten"}, {"retries": -1}, {"timeout": "soon"}, {"serializer": "xml"}):
        raises(ValueError, lambda: tasks.task(**wrong)(len))


def times_keys_and_cancelling(site):
    assert task_site.double.enqueue(1, countdown=3600).status() is Status.SCHEDULED
    first, second = (task_site.double.enqueue(1, key="k", countdown=60) for _ in range(2))
    assert first == second
    assert first.cancel() is Status.CANCELLED
    raises(tasks.TaskCancelled, first.get)
    # No worker has to come for it.
    raises(tasks.TaskExpired, lambda: task_site.double.enqueue(1, expires=0.1, countdown=60).get(LIMIT))
    site.work(slots=2)
    late = task_site.double.enqueue(1, expires=0)
    raises(tasks.TaskExpired, lambda: late.get(LIMIT))
    for waits in (task_site.waits_for, task_site.waits_for_later):
        running = waits.delay(site.path(waits.name))
        until("it runs", lambda: lines(site.path(waits.name)) == 1)
        assert running.cancel() is Status.RUNNING
        raises(tasks.TaskCancelled, lambda: running.get(LIMIT))
    until("the clock has ticked", lambda: site_total(site, "succeeded") >= 1)


def site_total(site, event):
    from hostler.tasks import _settings

    return sum(it["events"][event] for it in _settings.engine().ask({"do": "stats"})["stats"]["tasks"])


def processes_that_die(site):
    path = site.path("dies")
    dying = task_site.dies.delay(path)
    worker = site.work()
    assert worker.wait(LIMIT) == -signal.SIGKILL
    site.work()
    assert (dying.get(LIMIT), lines(path)) == ("lived", 2)
    # The keeper dies while a task runs: it is neither lost nor run twice.
    path = site.path("kept")
    running = task_site.waits_for.delay(path)
    until("it runs", lambda: lines(path) == 1)
    until("it says how far it is", lambda: running.info().progress == 0.4)
    keeper = keeper_of(site)
    os.kill(keeper, signal.SIGKILL)
    assert running.status() is Status.RUNNING
    open(path + ".go", "w").close()
    assert (running.get(LIMIT), lines(path), running.info().attempts) == ("waited", 1, 1)
    assert keeper_of(site) != keeper


def a_worker_that_has_forked_and_is_killed(site):
    worker = site.work()
    assert task_site.forks.delay(site.path("end")).get(LIMIT) == worker.pid
    path = site.path("forked")
    running = task_site.waits_for.delay(path)
    until("it runs", lambda: lines(path) == 1)
    keeper = keeper_of(site)
    worker.kill()
    site.work()
    # What it ran is run again, and nothing is given to the dead one.
    until("it runs again", lambda: lines(path) == 2)
    open(path + ".go", "w").close()
    assert (running.get(LIMIT), running.info().attempts) == ("waited", 2)
    assert [task_site.double.delay(n).get(LIMIT) for n in range(4)] == [0, 2, 4, 6]
    # Nor would a keeper take it for one that lives which has never had a connection of it.
    path = site.path("again")
    running = task_site.waits_for.delay(path)
    until("it runs", lambda: lines(path) == 1)
    os.kill(keeper, signal.SIGSTOP)
    site.workers[1].kill()
    os.kill(keeper, signal.SIGKILL)
    site.work()
    until("it runs again", lambda: lines(path) == 2)
    open(path + ".go", "w").close()
    assert running.get(LIMIT) == "waited"
    open(site.path("end"), "w").close()


def a_cancelled_task_whose_worker_is_killed_or_told_to_stop(site):
    for end in (subprocess.Popen.kill, subprocess.Popen.terminate):
        path = site.path(end.__name__)
        worker = site.work()
        running = task_site.blocks.delay(path)
        until("it runs", lambda: lines(path) == 1)
        assert running.cancel() is Status.RUNNING
        end(worker)
        worker.wait(LIMIT)
        site.work()
        raises(tasks.TaskCancelled, lambda: running.get(LIMIT))
        assert (running.info().status, lines(path)) == (Status.CANCELLED, 1)


def a_task_that_reads_all_files(site):
    # Whatever it opens and closes, its worker keeps what it runs when another keeper comes.
    site.work()
    task_site.reads_all_files.delay(site.folder).get(LIMIT)
    path = site.path("kept")
    running = task_site.waits_for.delay(path)
    until("it runs", lambda: lines(path) == 1)
    site.work()
    os.kill(keeper_of(site), signal.SIGKILL)
    assert task_site.double.delay(1).get(LIMIT) == 2
    open(path + ".go", "w").close()
    assert (running.get(LIMIT), lines(path), running.info().attempts) == ("waited", 1, 1)


def keeper_of(site):
    """The process that listens at the queue's socket."""
    import socket
    import struct

    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(site.queue + ".sock")
        return struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def a_worker_that_is_told_to_stop(site):
    path = site.path("slow")
    worker = site.work()
    slow = task_site.waits_for.delay(path)
    until("it runs", lambda: lines(path) == 1)
    worker.terminate()
    assert worker.wait(LIMIT) == 0
    info = slow.info()
    assert (info.status, info.attempts) == (Status.READY, 0), info
    site.work()
    open(path + ".go", "w").close()
    assert slow.get(LIMIT) == "waited"


def loops_threads_and_forks(site):
    site.work(slots=8)

    async def many():
        handles = await asyncio.gather(*(task_site.double.delay_async(n) for n in range(200)))
        assert await asyncio.gather(*handles) == [2 * n for n in range(200)]
        # In a loop `delay` does not wait for long, and nothing is lost.
        briefly = [task_site.double.delay(n) for n in range(50)]
        until_later = asyncio.get_running_loop().time() + LIMIT
        for handle in briefly:
            while True:
                try:
                    await handle
                    break
                except tasks.NoSuchTask:
                    assert asyncio.get_running_loop().time() < until_later
                    await asyncio.sleep(0.01)

    asyncio.run(many())
    results = []

    def enqueue():
        for n in range(25):
            results.append(task_site.double.delay(n).get(LIMIT) == 2 * n)

    threads = [threading.Thread(target=enqueue) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 200
    child = os.fork()
    if child == 0:
        os._exit(0 if task_site.double.delay(3).get(LIMIT) == 6 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert task_site.double.delay(4).get(LIMIT) == 8


def many_die_and_nothing_is_lost(site):
    handles = [task_site.double.delay(n) for n in range(300)]
    for round in range(6):
        worker = site.work(slots=4)
        if round % 2:
            os.kill(keeper_of(site), signal.SIGKILL)
        worker.kill()
    site.work(slots=4)
    assert [handle.get(LIMIT) for handle in handles] == [2 * n for n in range(300)]


def what_a_worker_takes_ahead(site):
    # A worker that has learnt that tasks are short takes many.
    ahead = Ahead()
    assert [ahead.learn(0.0001) for _ in range(8)] == [False] * 7 + [True] and ahead.count == 64
    assert ahead.none() and ahead.count == 0
    assert not any(ahead.learn(0.02) for _ in range(20)), "long ones are taken one by one"
    site.work()
    assert [handle.get(LIMIT) for handle in [task_site.double.delay(n) for n in range(200)]] == [2 * n for n in range(200)]
    # One of them takes long: the others behind it go to another worker.
    site.work()
    path = site.path("long")
    short = [task_site.double.delay(n) for n in range(40)]
    long = task_site.waits_for.delay(path)
    short += [task_site.double.delay(n) for n in range(40, 80)]
    assert [handle.get(LIMIT) for handle in short] == [2 * n for n in range(80)]
    assert {handle.info().attempts for handle in short} == {1}
    assert long.status() is Status.RUNNING
    open(path + ".go", "w").close()
    assert (long.get(LIMIT), lines(path)) == ("waited", 1)
    # What was taken ahead is cancelled as what waits is.
    path = site.path("cancelled")
    running = [task_site.waits_for.delay(f"{path}{n}") for n in range(2)]
    until("both run", lambda: all(lines(f"{path}{n}") for n in range(2)))
    behind = task_site.double.delay(1)
    behind.cancel()
    raises(tasks.TaskCancelled, lambda: behind.get(LIMIT))
    for n in range(2):
        open(f"{path}{n}.go", "w").close()
    assert [handle.get(LIMIT) for handle in running] == ["waited", "waited"]


def a_queue_that_cannot_be_used(site):
    foreign = site.path("foreign.db")
    with open(foreign, "w") as file:
        file.write("no database " * 100)
    tasks.configure(foreign)
    error = raises(tasks.QueueUnavailable, lambda: task_site.double.delay(1))
    assert "foreign.db" in str(error) and "not a database" in str(error), error
    tasks.configure(site.path("nowhere/queue.db"))
    raises(tasks.QueueUnavailable, lambda: task_site.double.delay(1))


TESTS = [
    what_tasks_return_and_raise,
    what_is_refused_at_the_call,
    times_keys_and_cancelling,
    processes_that_die,
    a_worker_that_has_forked_and_is_killed,
    a_cancelled_task_whose_worker_is_killed_or_told_to_stop,
    a_task_that_reads_all_files,
    a_worker_that_is_told_to_stop,
    loops_threads_and_forks,
    many_die_and_nothing_is_lost,
    what_a_worker_takes_ahead,
    a_queue_that_cannot_be_used,
]


def run(tests, make=Site):
    for test in tests:
        site = make()
        try:
            test(site)
            print(test.__name__, "well", flush=True)
        finally:
            site.stop()
    print("all well")


if __name__ == "__main__":
    run(TESTS)
