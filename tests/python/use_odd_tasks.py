"""`hostler.tasks` with values and functions that nobody should use, and keepers that stand still. Prints `all well`."""

import asyncio
import datetime
import os
import pickle
import signal
import threading
import time
import uuid

import odd_site
import task_site
from expecting import raises
from use_tasks import LIMIT, Site, keeper_of, lines, run, until

from hostler import tasks
from hostler.tasks import _connect, _embedded, _settings


class OddSite(Site):
    program = "odd_site.py"


def whatever_a_task_raises_or_returns_is_reported(site):
    site.work()
    for after in ("20ms", 0.01, 0):
        assert odd_site.asks_again.delay(after).get(LIMIT) == "again"
    for after, kind in (("soon", "ValueError"), (-1, "ValueError"), ([1], "TypeError")):
        error = raises(tasks.TaskFailed, lambda: odd_site.asks_wrongly.delay(after).get(LIMIT))
        assert error.type == kind, error
    error = raises(tasks.TaskFailed, lambda: odd_site.asks_by_hand.delay().get(LIMIT))
    assert "Retry, of which nothing can be told: after=inf is out of range" in error.message, error
    for mute in (odd_site.raises_mute, odd_site.raises_mute_later):
        error = raises(tasks.TaskFailed, lambda: mute.delay().get(LIMIT))
        assert (error.type, error.message) == ("odd_site.Mute", "(its text cannot be had: RuntimeError in Mute.__str__)"), error
    for function, kind in ((odd_site.returns_trap, "KeyboardInterrupt"), (odd_site.exits, "SystemExit"), (odd_site.raises_half_a_pair, "ValueError")):
        error = raises(tasks.TaskFailed, lambda: function.delay().get(LIMIT))
        assert error.type == kind, error
    error = raises(tasks.TaskFailed, lambda: odd_site.returns_much.delay().get(LIMIT))
    assert error.type == "hostler.tasks.NotSerializable" and "40000002 bytes, and 33554432 are the most" in error.message, error
    assert task_site.double.delay(1).get(LIMIT) == 2
    assert site.workers[0].poll() is None


def what_no_message_can_carry_is_refused_at_the_call(site):
    now = time.time()
    for wrong in (
        {"key": "a\udcff"}, {"key": 5}, {"key": ""}, {"queue": "q" * 2000}, {"priority": 2**40}, {"priority": 1.5}, {"priority": True},
        {"eta": 1e30}, {"eta": now * 1000}, {"eta": float("inf")}, {"eta": float("nan")}, {"countdown": float("nan")},
        {"expires": datetime.timedelta(days=1e6)},
    ):  # fmt: skip
        raises((ValueError, TypeError), lambda: task_site.double.enqueue(1, **wrong))
        raises((ValueError, TypeError), lambda: asyncio.run(task_site.double.enqueue_async(1, **wrong)))
    for wrong in (
        {"name": "a\udcff"}, {"name": "a\nb"}, {"name": 5}, {"queue": ""}, {"queue": None}, {"priority": "high"}, {"rate": "99999999999/s"},
        {"backoff": tasks.Backoff(factor=float("nan"))}, {"backoff": tasks.Backoff(jitter=2)},
    ):  # fmt: skip
        raises((ValueError, TypeError), lambda: tasks.task(**wrong)(len))
    for wrong in ("61 * * * *", "0 24 * * *", "30-10 * * * *", "@reboot", "0 0 30 2 *", "* * *", "a b c d e"):
        error = raises(ValueError, lambda: tasks.cron(wrong)(odd_site.at_noon))
        assert wrong in str(error), error
    raises(ValueError, lambda: tasks.cron("@daily", timezone="Mars/X")(odd_site.at_noon))
    raises(TypeError, lambda: tasks.cron("@daily")(lambda x: x))
    for fine in ("0 12 L * *", "*/5 * * * mon-fri", "0 0 29 2 *", "30 0 0 1 jan *", "@hourly"):
        odd_site.declares(fine)
    raises(ValueError, lambda: tasks.configure(site.queue, max_arguments_bytes=1 << 30))
    # What gets as far as the keeper is refused by it, and only that.
    engine = _settings.engine()
    error = raises(ValueError, lambda: engine.ask({"do": "cancel", "id": "x"}))
    assert str(error).startswith("what was asked cannot be read: an id has 32"), error

    async def among_others():
        asked = [task_site.double.delay_async(1), engine._asynchronous().ask({"do": "nonsense"}), task_site.double.delay_async(2)]
        first, refused, second = await asyncio.gather(*asked)
        assert refused[0]["why"] == "malformed" and first.id != second.id, refused

    asyncio.run(among_others())


def processes_that_a_task_left_do_not_keep_its_worker_alive(site):
    site.work()
    forked = odd_site.keeps_a_pool.delay().get(LIMIT)[1]
    site.workers[0].kill()
    site.workers[0].wait()
    site.work()
    waiting = [task_site.double.delay(x) for x in range(20)]
    assert [handle.get(LIMIT) for handle in waiting] == [2 * x for x in range(20)]
    os.kill(forked, signal.SIGKILL)


async def after_a_keeper_that_died_meanwhile(site):
    await task_site.double.delay_async(1)
    os.kill(keeper_of(site), signal.SIGKILL)
    # For longer than breaks are borne, nobody asks.
    await asyncio.sleep(2 * _connect.LIMIT)
    await task_site.double.delay_async(1)


def a_wait_outlasts_the_keeper_however_long_it_was(site):
    site.work()
    path = site.path("waits")
    running = task_site.waits_for.delay(path)
    until("it runs", lambda: lines(path) == 1)
    limit, _connect.LIMIT = _connect.LIMIT, 0.5
    try:
        asyncio.run(after_a_keeper_that_died_meanwhile(site))
        threading.Timer(1, lambda: os.kill(keeper_of(site), signal.SIGKILL)).start()
        threading.Timer(2, lambda: open(path + ".go", "w").close()).start()
        assert running.get(LIMIT) == "waited"
    finally:
        _connect.LIMIT = limit


def loops_that_come_and_go_leave_nothing_open(site):
    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    asyncio.run(task_site.double.delay_async(1))
    before = descriptors()
    for _ in range(50):
        asyncio.run(task_site.double.delay_async(1))
    assert descriptors() < before + 5, (before, descriptors())

    async def without_an_executor():
        await asyncio.get_running_loop().shutdown_default_executor()
        return await task_site.double.delay_async(1)

    assert asyncio.run(without_an_executor()).id


def an_event_loop_does_not_wait_for_a_keeper_that_stands_still(site):
    path = site.path("notes")
    open(path, "w").close()
    task_site.double.delay(0)
    keeper = keeper_of(site)

    async def enqueue():
        began = time.monotonic()
        odd_site.notes.delay(path, "x" * 500_000)
        for _ in range(400):
            odd_site.notes.delay(path)
        return time.monotonic() - began

    os.kill(keeper, signal.SIGSTOP)
    patience, _embedded._PATIENCE = _embedded._PATIENCE, 0.3
    try:
        # Who may wait does so, and is told.
        for large in (0, 500_000):
            error = raises(tasks.QueueUnavailable, lambda: odd_site.waits_for_another.delay("x" * large, "y"))
            assert "nothing has come from its keeper for 0.3 s" in str(error), error
        _embedded._PATIENCE = patience
        # Before, it went on when the keeper did.
        seconds = asyncio.run(asyncio.wait_for(enqueue(), LIMIT))
    finally:
        _embedded._PATIENCE = patience
        os.kill(keeper, signal.SIGCONT)
    assert seconds < LIMIT / 2, seconds
    _embedded.flush()
    site.work()
    until("all ran", lambda: lines(path) >= 401)
    assert task_site.double.delay(1).get(LIMIT) == 2
    assert lines(path) == 401, "each ran once, although no trace of it was kept"


def a_task_that_waits_hears_its_timeout(site):
    site.work()
    parent = odd_site.waits_for_another.delay(site.queue, task_site.double.enqueue(1, countdown=3600).id)
    error = raises(tasks.TaskTimeout, lambda: parent.get(LIMIT))
    assert str(error) == "the task ran for longer than its timeout", error
    assert "hostler.tasks.TaskTimeout: the task ran" in error.traceback, error.traceback
    assert site.workers[0].poll() is None


def handles_and_errors_are_pickled(site):
    for error in (tasks.TaskFailed("a.B", "text", "lines"), tasks.TaskTimeout("text", "lines")):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), copy.traceback) == (type(error), str(error), "lines")
    handle = task_site.double.delay(1)
    assert tasks.handle(uuid.UUID(handle.id)) == handle
    raises(TimeoutError, lambda: handle.get(timeout=0))
    site.work()
    assert handle.get("1m") == handle.get(0) == handle.get(float("inf")) == 2
    assert pickle.loads(pickle.dumps(handle)) == handle


TESTS = [
    whatever_a_task_raises_or_returns_is_reported,
    what_no_message_can_carry_is_refused_at_the_call,
    processes_that_a_task_left_do_not_keep_its_worker_alive,
    a_wait_outlasts_the_keeper_however_long_it_was,
    loops_that_come_and_go_leave_nothing_open,
    an_event_loop_does_not_wait_for_a_keeper_that_stands_still,
    a_task_that_waits_hears_its_timeout,
    handles_and_errors_are_pickled,
]

if __name__ == "__main__":
    run(TESTS, OddSite)
