"""Sites of examples/ with their work beyond the request, through real sockets: `use_sites.py ENGINE`. Prints `all well`."""

import json
import os
import subprocess
import sys
import time

import engines
from engines import LIMIT, until
from use_engines import Server

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples")


def site(engine, target, *options, workers=2, environment=None):
    os.environ.update(environment or {})
    return Server(engine, workers, *options, target=target, folder=EXAMPLES)


def flask_with_tasks(engine):
    """/set/N answers at once, whatever N, and /current shows the latest result: in all web workers."""
    server = site(engine, "tasks_flask_app:app", "--workers", "2", environment={"LATEST": os.path.join(engine.folder, "latest")})
    try:
        assert json.loads(server.get("/current"))["current"] is None
        for n, number in ((10, 55), (20, 6765)):
            server.get(f"/set/{n}")
            until("it is computed", lambda: json.loads(server.get("/current"))["current"] == number)
        server.get("/set/32")
        assert json.loads(server.get("/current"))["current"] is None, "it was answered when it was computed"
        until("the long one is computed", lambda: json.loads(server.get("/current"))["current"] == 2178309)
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
    """An application with Celery as it is: preloaded with its connections made, Celery's own worker beside it."""
    os.environ["REDIS"] = engine.redis.url(2)
    command = [sys.executable, "-m", "celery", "-A", "celery_app:celery", "worker", "--concurrency", "1", "--loglevel", "WARNING"]
    worker = subprocess.Popen(command, cwd=EXAMPLES, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = Server(engine, 0, "--workers", "3", "--python-path", ".", "--python-path", EXAMPLES, target="connected_celery:app", with_tasks=False)
    try:
        for n, number in ((10, 55), (20, 6765), (21, 10946)) * 3:
            for _ in range(4):
                server.get(f"/set/{n}")
            until("it is computed", lambda: json.loads(server.get("/current"))["current"] == number)
        assert "which workers would share" in open(server.log).read(), "nothing was connected before the fork"
    finally:
        worker.terminate()
        worker.wait(LIMIT)
        assert server.stop() == 0, open(server.log).read()


def main(name):
    engine = engines.ENGINES[name]()
    tests = [*([flask_with_celery] if name == "celery-redis" else []), flask_with_tasks, starlette_etl]
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
