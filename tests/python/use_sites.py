"""Sites of examples/ with their work beyond the request, through real sockets: `use_sites.py ENGINE`. Prints `all well`."""

import json
import os
import shlex
import signal
import sys
import time

import engines
from engines import until
from use_engines import Server

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples")


def site(engine, target, *options, environment=None):
    os.environ.update(environment or {})
    return Server(engine, engine.workers, *options, target=target, folder=EXAMPLES)


def flask_with_tasks(engine):
    """/set/N answers at once, whatever N, and /current shows the latest result: in all web workers."""
    server = site(engine, "tasks_flask_app:app", "--workers", "2", environment={"LATEST": os.path.join(engine.folder, "latest")})
    try:
        assert json.loads(server.get("/current"))["current"] is None
        for n, number in ((10, 55), (20, 6765)):
            server.get(f"/set/{n}")
            until("it is computed", lambda: json.loads(server.get("/current"))["current"] == number)
        server.get("/set/35")
        assert json.loads(server.get("/current"))["current"] is None, "it was answered when it was computed"
        until("the long one is computed", lambda: json.loads(server.get("/current"))["current"] == 9227465)
    finally:
        assert server.stop() == 0, open(server.log).read()


def starlette_etl(engine):
    """A page that shows how far a job is, also after the server was started again."""
    server = site(engine, "tasks_starlette_app:app")
    try:
        page = server.location("/start?rows=200")
        until("the page shows how far it is", lambda: "of 200" in server.get(page))
        other = server.location("/start?rows=3")
        until("a short one is done", lambda: "3 rows, total 3" in server.get(other))
        until("the long one is done", lambda: "200 rows, total 19900" in server.get(page))
        assert server.stop() == 0
        server = site(engine, "tasks_starlette_app:app")
        assert "200 rows, total 19900" in server.get(page)
        assert "no such job" in server.get("/jobs/0")
    finally:
        assert server.stop() == 0, open(server.log).read()


def flask_with_celery(engine):
    """An application with Celery as it is: preloaded with its connections made, Celery's own worker and beat as companions."""
    os.environ["REDIS"] = engine.redis.url(2)
    celery = [sys.executable, "-m", "celery", "--workdir", EXAMPLES, "-A", "celery_app:celery"]
    worker = "worker=" + shlex.join([*celery, "worker", "--concurrency", "1"])
    beat = "beat=" + shlex.join([*celery, "beat", "-s", os.path.join(engine.folder, "beat")])
    options = ["--workers", "3", "--python-path", ".", "--python-path", EXAMPLES, "--companion", worker, "--companion", beat]
    server = Server(engine, 0, *options, target="connected_celery:app", with_tasks=False)
    try:
        for n, number in ((10, 55), (20, 6765), (21, 10946)) * 2:
            for _ in range(4):
                server.get(f"/set/{n}")
            until("it is computed", lambda: json.loads(server.get("/current"))["current"] == number)
            server.process.send_signal(signal.SIGHUP)
        assert "which workers would share" in open(server.log).read(), "nothing was connected before the fork"
    finally:
        assert server.stop() == 0, open(server.log).read()
    assert "Warm shutdown" in open(server.log).read(), "Celery's worker ends as it wants to"


def starlette_with_ray(engine):
    """An actor that counts for all web workers, over a reload; work that takes more processes than there are web workers."""
    os.environ["RAY_ADDRESS"] = engine.configuration()["ray_address"]
    server = Server(engine, 0, "--workers", "2", target="ray_app:app", folder=EXAMPLES, with_tasks=False)
    counted, pids = [], set()

    def count(workers):
        counted.append(json.loads(server.get("/count")))
        pids.add(counted[-1]["pid"])
        return len(pids) == workers

    try:
        until("both workers have counted", lambda: count(2))
        server.process.send_signal(signal.SIGHUP)
        until("so have two new ones", lambda: count(4))
        assert [each["count"] for each in counted] == list(range(1, len(counted) + 1)), counted
        until("it has scaled", lambda: json.loads(server.get("/work?parts=12"))["processes"] > 2)
    finally:
        assert server.stop() == 0, open(server.log).read()


def main(name):
    engine = engines.ENGINES[name]()
    own = {"celery-redis": [flask_with_celery], "ray": [starlette_with_ray]}
    tests = [*own.get(name, []), flask_with_tasks, starlette_etl]
    try:
        for test in tests:
            began = time.monotonic()
            test(engine)
            print(f"{test.__name__} well, {time.monotonic() - began:.1f} s", flush=True)
    finally:
        engine.close()
    print("all well")


if __name__ == "__main__":
    main(sys.argv[1])
