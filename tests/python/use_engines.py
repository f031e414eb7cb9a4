"""What holds of tasks whatever their engine: `use_engines.py ENGINE`. A real server with task workers, real brokers. Prints `all well`."""

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

import engine_site
import engines
from engines import LIMIT, until
from expecting import raises

from hostler import tasks
from hostler.tasks import Status, _calls


class Server:
    """hostler with one web worker and task workers, the application preloaded."""

    def __init__(self, engine, workers=2, *more, target="engine_site:app", folder=None, with_tasks=True):
        self.socket = os.path.join(engine.folder, "http.sock")
        self.log = os.path.join(engine.folder, "log")
        given = ["--task-workers", str(workers), *engine.options()] if with_tasks else []
        command = [os.environ["HOSTLER"], target, "--uds", self.socket, "--preload", "--graceful-timeout", "3s", "--python", sys.executable]
        command += [*given, *(more or ["--workers", "1"])]
        environment = {**os.environ, "SITE_TICKS": os.path.join(engine.folder, "ticks")}
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder)
        try:
            until("the server serves", lambda: self.process.poll() is not None or self.serves())
            assert self.process.poll() is None, open(self.log).read()
        except BaseException:
            self.stop()
            print(open(self.log).read()[-20000:], flush=True)
            raise

    def ask(self, path):
        connection = http.client.HTTPConnection("localhost", timeout=LIMIT)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(LIMIT)
        connection.sock.connect(self.socket)
        connection.request("GET", path)
        with connection.getresponse() as response:
            return response, response.read().decode()

    def get(self, path, *arguments):
        return self.ask(path + ("?" + urllib.parse.quote(json.dumps(arguments)) if arguments else ""))[1]

    def location(self, path):
        return self.ask(path)[0].getheader("location")

    def serves(self):
        try:
            return bool(self.get("/result/0"))
        except OSError:
            return False

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(LIMIT)


class Site:
    def __init__(self, engine, workers=2, *more):
        self.engine = engine
        self.server = Server(engine, workers, *more)
        self.counted = 0

    def path(self, name):
        self.counted += 1
        return os.path.join(self.engine.folder, f"{name}-{self.counted}-{time.monotonic_ns()}")

    def restart(self, workers=2, *more):
        assert self.server.stop() == 0, open(self.server.log).read()
        self.server = Server(self.engine, workers, *more)


def lines(path):
    return open(path).read().splitlines() if os.path.exists(path) else []


def go(path):
    open(path + ".go", "w").close()


def runs(waits, path):
    handle = waits.delay(path)
    until("it runs", lambda: lines(path))
    return handle


def what_tasks_return_and_raise(site):
    first = engine_site.double.delay(4)
    assert first.get(LIMIT) == 8
    assert tasks.handle(first.id).get(LIMIT) == 8
    info = first.info()
    assert (info.status, info.name, info.queue, info.attempts) == (Status.SUCCEEDED, "engine_site.double", "default", 1), info
    assert info.started and info.finished and info.enqueued <= info.finished, info
    assert engine_site.double_later.delay(x=5).get(LIMIT) == 10
    assert engine_site.flaky.delay().get(LIMIT) == 3
    assert engine_site.again.delay().get(LIMIT) == "again"
    assert engine_site.pickled.delay(3).get(LIMIT) == {3}
    failed = engine_site.fails.delay()
    error = raises(tasks.TaskFailed, lambda: failed.get(LIMIT))
    assert (error.type, error.message) == ("KeyError", "'x'"), (error.type, error.message)
    assert error.traceback.splitlines()[1].endswith("in fails"), error.traceback
    assert failed.info().attempts == 2, failed.info()
    for limited in (engine_site.spins, engine_site.sleeps):
        raises(tasks.TaskTimeout, lambda: limited.delay().get(LIMIT))
    error = raises(tasks.TaskFailed, lambda: engine_site.unwritable.delay().get(LIMIT))
    assert error.type == "hostler.tasks.NotSerializable", error
    assert raises(tasks.TaskFailed, lambda: engine_site.exits.delay().get(LIMIT)).type == "SystemExit"
    assert engine_site.double.delay(1).get(LIMIT) == 2


def what_is_refused_at_the_call(site):
    raises(tasks.NotSerializable, lambda: engine_site.double.delay(object()))
    raises(TypeError, lambda: engine_site.double.delay())
    raises(tasks.ArgumentsTooLarge, lambda: engine_site.double.delay("x" * 2_000_000))
    raises(tasks.NoSuchTask, lambda: tasks.handle("0" * 32).status())
    raises(tasks.NoSuchTask, lambda: tasks.handle("0" * 32).get(LIMIT))
    raises(tasks.NoSuchTask, lambda: tasks.handle("no id").get(LIMIT))
    raises(tasks.NoSuchTask, lambda: tasks.handle("no id").cancel())


def times_and_keys(site):
    later = engine_site.double.enqueue(1, countdown=3600)
    assert later.status() is Status.SCHEDULED
    assert later.cancel() is Status.CANCELLED
    raises(tasks.TaskCancelled, lambda: later.get(LIMIT))
    began = time.time()
    assert engine_site.double.enqueue(2, countdown=0.5).get(LIMIT) == 4
    assert time.time() - began >= 0.5
    first, second, other = (engine_site.double.enqueue(1, key=key, countdown=60) for key in ("k", "k", "l"))
    assert first == second != other
    assert {first.cancel(), other.cancel()} == {Status.CANCELLED}
    third = engine_site.double.enqueue(3, key="k")
    assert third != first and third.get(LIMIT) == 6
    fourth = engine_site.double.enqueue(4, key="k")
    assert fourth != third and fourth.get(LIMIT) == 8
    raises(tasks.TaskExpired, lambda: engine_site.double.enqueue(1, countdown=0.2, expires=0.1).get(LIMIT))


def cancelling_and_progress(site):
    for waits in (engine_site.waits_for, engine_site.waits_for_later):
        path = site.path(waits.name)
        running = runs(waits, path)
        until("it says how far it is", lambda: running.info().progress == 0.4)
        assert running.info().progress_text == "waiting"
        assert running.status() is Status.RUNNING
        assert running.cancel() is Status.RUNNING
        raises(tasks.TaskCancelled, lambda: running.get(LIMIT))
        assert lines(path) and running.status() is Status.CANCELLED
    assert engine_site.double.delay(1).get(LIMIT) == 2


def rates(site):
    path = site.path("seldom")
    times = sorted(handle.get(LIMIT) for handle in [engine_site.seldom.delay(path) for _ in range(5)])
    assert times[-1] - times[0] >= 0.38, times


def priorities(site):
    # Two that keep the workers busy, and what waits meanwhile.
    path, order = site.path("busy"), site.path("order")
    busy = [runs(engine_site.waits_for, path)]
    until("one runs", lambda: len(lines(path)) == 1)
    busy.append(engine_site.waits_for.delay(path))
    until("both run", lambda: len(lines(path)) == 2)
    waiting = [engine_site.notes.enqueue(order, text, priority=priority) for text, priority in (("low ", 0), ("high ", 9), ("middle ", 5))]
    time.sleep(0.2)  # a broker may deliver what it has before it has all
    go(path)
    for handle in (*busy, *waiting):
        handle.get(LIMIT)
    # Two workers run them: in which order they end is open (in which they begin, with the embedded engine, the engine's own tests know).
    assert set(open(order).read().split()) == {"low", "high", "middle"}


def the_clock(site):
    path = os.path.join(site.engine.folder, "ticks")
    # What waited while workers were busy, or started, ran at once.
    before = len(lines(path))
    until("the clock has ticked", lambda: len(lines(path)) >= before + 6)
    seconds = lines(path)[before:]
    assert len(set(seconds[-4:])) >= 3, seconds


def web_workers(site):
    server = site.server
    assert server.get("/result/" + server.get("/start/double", 21)) == "42"
    # 1 ms, on a machine that is not busy with other tests.
    milliseconds = float(server.get("/blocks/-"))
    assert milliseconds < 100, milliseconds
    ids = [server.get("/start/double_later", n) for n in range(10)]
    assert [server.get("/result/" + id) for id in ids] == [str(2 * n) for n in range(10)]


def loops_threads_and_forks(site):
    async def many():
        handles = await asyncio.gather(*(engine_site.double.delay_async(n) for n in range(40)))
        assert await asyncio.gather(*handles) == [2 * n for n in range(40)]
        path = site.path("async")
        running = await engine_site.waits_for.delay_async(path)
        while await running.status_async() is not Status.RUNNING:
            await asyncio.sleep(0.01)
        assert await running.cancel_async() is Status.RUNNING
        try:
            await running
        except tasks.TaskCancelled:
            return
        raise AssertionError("it was not cancelled")

    asyncio.run(many())
    results = []

    def enqueue():
        for n in range(5):
            results.append(engine_site.double.delay(n).get(LIMIT) == 2 * n)

    threads = [threading.Thread(target=enqueue) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 20
    child = os.fork()
    if child == 0:
        os._exit(0 if engine_site.double.delay(3).get(LIMIT) == 6 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert engine_site.double.delay(4).get(LIMIT) == 8


def a_stop_gives_back_what_does_not_end(site):
    path = site.path("stopped")
    slow = runs(engine_site.waits_for, path)
    waiting = engine_site.double.enqueue(7, countdown=3)
    site.restart()
    until("it runs again", lambda: len(lines(path)) == 2)
    go(path)
    assert (slow.get(LIMIT), waiting.get(LIMIT)) == ("waited", 14)
    assert slow.info().attempts == 1, slow.info()


def a_stop_ends_no_task_elsewhere(site):
    """Ray runs tasks on while the server that enqueued them is away."""
    path, other = site.path("stopped"), site.path("stopped")
    slow, running = runs(engine_site.waits_for, path), runs(engine_site.waits_for, other)
    assert site.server.stop() == 0, open(site.server.log).read()
    go(path)
    assert slow.get(LIMIT) == "waited"
    site.restart(site.engine.workers)
    go(other)
    assert json.loads(site.server.get("/result/" + running.id)) == "waited"
    assert len(lines(path)) == len(lines(other)) == 1, "nothing ran twice"


def a_keeper_that_is_killed(site):
    """The actor of the cluster that has the tasks: another one goes on with what it has stored."""
    path = site.path("kept")
    slow, waiting, done = runs(engine_site.waits_for, path), engine_site.double.enqueue(7, countdown=3), engine_site.double.delay(8)
    assert done.get(LIMIT) == 16
    for pid in site.engine.pids_of("ray::Keeper"):
        os.kill(pid, signal.SIGKILL)
    until("it runs again", lambda: len(lines(path)) == 2)
    go(path)
    assert (slow.get(LIMIT), waiting.get(LIMIT), done.get(LIMIT)) == ("waited", 14, 16)


def a_gateway_that_is_killed(site):
    """The process that has joined the cluster for another one."""
    waiting = []
    threads = [threading.Thread(target=lambda: waiting.append(engine_site.double.enqueue(n, countdown=2).get(LIMIT))) for n in range(2)]
    for thread in threads:
        thread.start()
    for pid in site.engine.gateways():
        os.kill(pid, signal.SIGKILL)
    ids = [site.server.get("/start/double", n) for n in range(4)]
    assert [site.server.get("/result/" + id) for id in ids] == ["0", "2", "4", "6"]
    for thread in threads:
        thread.join(LIMIT)
    assert len(waiting) == 2
    assert site.server.stop() == 0, open(site.server.log).read()
    until("gateways end with whom they are for", lambda: len(site.engine.gateways()) <= 1)
    site.restart(site.engine.workers)


def priorities_are_refused(site):
    raises(tasks.Unsupported, lambda: engine_site.notes.enqueue("", "", priority=1))


def a_worker_that_is_killed(site):
    path = site.path("killed")
    slow = runs(engine_site.waits_for, path)
    os.kill(int(lines(path)[0]), signal.SIGKILL)
    until("it runs again", lambda: len(lines(path)) == 2)
    go(path)
    assert slow.get(LIMIT) == "waited"


def a_broker_that_is_away(site):
    first = engine_site.double.delay(1)
    assert first.get(LIMIT) == 2
    site.engine.break_broker()
    began = time.monotonic()
    error = raises(tasks.QueueUnavailable, lambda: engine_site.double.delay(2))
    assert time.monotonic() - began < 12 and "guest:guest" not in str(error), error
    assert site.server.get("/start/double", 2).startswith("QueueUnavailable: "), "the web worker says so"
    assert site.server.process.poll() is None
    if site.engine.name.startswith("celery"):
        until("the task workers say so", lambda: "Trying again in" in open(site.server.log).read())
    site.engine.mend_broker()
    until("tasks are accepted again", lambda: not site.server.get("/start/double", 3).startswith("Queue"))
    assert engine_site.double.delay(4).get(LIMIT) == 8


def one_that_was_given_back_is_cancelled(site):
    path = site.path("bears")
    slow = runs(engine_site.bears, path)
    assert site.server.stop() == 0, open(site.server.log).read()
    assert "is given back" in open(site.server.log).read()
    assert slow.status() is Status.READY
    slow.cancel()
    site.restart()
    assert engine_site.double.delay(1).get(LIMIT) == 2
    raises(tasks.TaskCancelled, lambda: slow.get(LIMIT))
    assert len(lines(path)) == 1


def one_that_kills_its_workers(site):
    path = site.path("dies")
    deadly = engine_site.dies.delay(path)
    error = raises(tasks.TaskFailed, lambda: deadly.get(LIMIT))
    assert (error.type, len(lines(path))) == ("hostler.tasks.WorkerLost", 5), (error, lines(path))
    assert engine_site.double.delay(1).get(LIMIT) == 2


def a_newer_version(site):
    """Its tasks wait for workers that know them, and hold up no others."""

    @tasks.task(name="engine_site.newer")
    def newer():
        raise AssertionError("it is the server's")

    handles = [newer.delay() for _ in range(4)]
    if site.engine.name != "embedded":
        until("the log has it", lambda: "task engine_site.newer is not known to this worker" in open(site.server.log).read())
    for number in range(10):
        assert engine_site.double.delay(number).get(LIMIT) == 2 * number
    assert {handle.status() for handle in handles} <= {Status.READY, Status.UNKNOWN}
    os.environ["SITE_NEWER"] = "1"
    try:
        site.restart()
    finally:
        del os.environ["SITE_NEWER"]
    assert [handle.get(LIMIT) for handle in handles] == ["newer"] * 4


def results_that_are_away(site):
    """With RabbitMQ tasks can be taken meanwhile: they wait."""
    path, order = site.path("away"), site.path("taken")
    running = runs(engine_site.waits_for, path)
    waiting = [engine_site.notes.enqueue(order, f"{number} ", countdown=2) for number in range(20)]
    site.engine.redis.stop()
    go(path)
    until("the log has it", lambda: "the results of tasks cannot be reached" in open(site.server.log).read())
    time.sleep(2)  # what could go wrong meanwhile
    site.engine.redis.start()
    assert running.get(LIMIT) == "waited"
    for handle in waiting:
        handle.get(LIMIT)
    assert {*map(str, range(20))} == set(open(order).read().split()), open(order).read()


def calls_that_were_refused(site):
    """A broker that stands still for longer than a call takes: what could not be accepted does not run when it goes on."""
    order, refused = site.path("refused"), []

    def enqueue(number):
        try:
            engine_site.notes.delay(order, f"{number} ")
        except tasks.QueueUnavailable as error:
            refused.append(str(error))

    threads = [threading.Thread(target=enqueue, args=(number,)) for number in range(12)]
    site.engine.redis.process.send_signal(signal.SIGSTOP)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        site.engine.redis.process.send_signal(signal.SIGCONT)
    assert len(refused) == 12, refused
    until("tasks are accepted again", lambda: not site.server.get("/start/double", 3).startswith("Queue"))
    assert engine_site.double.delay(4).get(LIMIT) == 8
    time.sleep(1)  # what is not to run has had the time
    assert not os.path.exists(order), open(order).read()


def calls_that_wait(site):
    """Their number has a limit."""
    go, calls = threading.Event(), _calls.Calls(1, 2)
    waiting = [calls.submit(go.wait) for _ in range(3)]
    raises(tasks.QueueUnavailable, lambda: calls.submit(go.wait))
    assert waiting[2].cancel()
    assert calls.submit(go.wait) is not None
    go.set()
    assert [call.result(LIMIT) for call in waiting[:2]] == [True, True]
    until("there is room again", lambda: calls.submit(go.wait).result(LIMIT))


TESTS = [
    what_tasks_return_and_raise,
    what_is_refused_at_the_call,
    times_and_keys,
    cancelling_and_progress,
    rates,
    priorities,
    the_clock,
    web_workers,
    loops_threads_and_forks,
    a_stop_gives_back_what_does_not_end,
    a_worker_that_is_killed,
    one_that_was_given_back_is_cancelled,
    one_that_kills_its_workers,
    a_newer_version,
    a_broker_that_is_away,
    results_that_are_away,
    calls_that_were_refused,
    calls_that_wait,
]
#: What is said of one engine only.
OWN = {"ray": [priorities_are_refused, a_stop_ends_no_task_elsewhere, a_keeper_that_is_killed, a_gateway_that_is_killed]}
#: What cannot be said of an engine, and why.
EXCEPTIONS = {
    ("embedded", a_broker_that_is_away): "it has none",
    ("ray", priorities): "Ray has no priorities",
    ("ray", a_stop_gives_back_what_does_not_end): "a stop of the server ends no task of Ray's",
    ("embedded", calls_that_were_refused): "it has none",
    ("embedded", results_that_are_away): "they are in its file",
    ("celery-redis", results_that_are_away): "its broker is away, too: nothing is taken",
    ("ray", results_that_are_away): "the cluster has them",
    ("embedded", one_that_was_given_back_is_cancelled): "nobody can be asked while the server is down",
    ("celery-redis", one_that_kills_its_workers): "as with one that is killed",
    ("ray", one_that_was_given_back_is_cancelled): "a stop of the server ends no task of Ray's",
    ("ray", one_that_kills_its_workers): "Ray counts deaths its own way",
    ("ray", a_newer_version): "what a module does not have fails",
    ("ray", calls_that_were_refused): "it has no broker",
    ("celery-redis", a_worker_that_is_killed): "kombu hands it out again after the visibility timeout, an hour",
}


def main(name, only):
    engine = engines.ENGINES[name]()
    site = None
    try:
        tasks.configure(**engine.configuration())
        site = Site(engine, engine.workers)
        for test in [*TESTS[:-1], *OWN.get(name, []), TESTS[-1]]:
            if (name, test) in EXCEPTIONS or (only and not any(name in test.__name__ for name in only.split(","))):
                continue
            began = time.monotonic()
            test(site)
            print(f"{test.__name__} well, {time.monotonic() - began:.1f} s", flush=True)
        assert site.server.stop() == 0
        if os.environ.get("SHOW_LOG"):
            print(open(site.server.log).read())
    except BaseException:
        if site is not None:
            print(open(site.server.log).read()[-20000:], flush=True)
        raise
    finally:
        if site is not None:
            site.server.stop()
        engine.close()
    print("all well")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
