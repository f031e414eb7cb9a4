"""A Ray cluster of a server's own (`--task-ray-address local`), and clusters that are not there: `use_ray_cluster.py`. Prints `all well`."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import engine_site  # noqa: F401
import engines
from engines import LIMIT, until
from use_engines import Server, lines
from use_sites import EXAMPLES


class Local:
    """What a server needs for a cluster of its own: the folder of the test and a free port."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="hostler-local-", dir="/tmp")
        self.port = engines.free_port()
        # What all of its processes have in their environment, and the gateways to it.
        self.mark = f"hostler-ray-{os.getuid()}-{self.port}/token"
        os.environ["SITE_TICKS"] = os.path.join(self.folder, "ticks")

    def options(self):
        return ["--task-engine", "ray", "--task-ray-address", f"local:{self.port}"]

    def pids(self, word=""):
        return [pid for pid in engines._processes(word) if engines._environment(pid, self.mark)]

    def is_gone(self):
        return not self.pids() and not engines.listens(self.port)

    def close(self):
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(os.path.join("/tmp", os.path.dirname(self.mark)), ignore_errors=True)


def computes(server, number):
    return server.get("/result/" + server.get("/start/double", number)) == str(2 * number)


def a_cluster_of_a_server(local):
    """It starts and ends with the server, and goes on over reload and upgrade; nobody without its secret joins."""
    server = Server(local, 1, "--workers", "2")
    try:
        assert computes(server, 4)
        until("the clock ticks", lambda: lines(os.environ["SITE_TICKS"]))
        heads = local.pids("gcs_server")
        joins = f"import ray; ray.init('127.0.0.1:{local.port}')"
        stranger = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64, "RAY_NUM_REDIS_GET_RETRIES": "2"}
        told = subprocess.run([sys.executable, "-c", joins], env=stranger, capture_output=True, text=True, timeout=LIMIT)
        assert told.returncode != 0 and "InvalidAuthToken" in told.stderr, told
        server.process.send_signal(signal.SIGHUP)
        until("it has reloaded", lambda: "reloaded" in open(server.log).read())
        assert computes(server, 5)
        running = server.process.pid
        server.process.send_signal(signal.SIGUSR2)
        until("the old server has gone", lambda: server.process.poll() is not None)
        successor = int(re.findall(r"starting hostler .*?pid=(\d+)", open(server.log).read())[-1])
        assert successor != running
        try:
            assert computes(server, 6)
            assert local.pids("gcs_server") == heads, "the cluster goes on"
        finally:
            os.kill(successor, signal.SIGTERM)
        until("nothing is left", local.is_gone)
    finally:
        server.stop()


def a_cluster_that_dies(local):
    """It is started again, tasks are accepted again, and the clock goes on."""
    server = Server(local, 1, "--workers", "1")
    try:
        assert computes(server, 4)
        for pid in local.pids("gcs_server"):
            os.kill(pid, signal.SIGKILL)
        until("the cluster has gone", lambda: server.get("/start/double", 1).startswith("QueueUnavailable"))
        until("tasks are accepted again", lambda: not server.get("/start/double", 1).startswith("QueueUnavailable"))
        assert computes(server, 7)
        ticks = len(lines(os.environ["SITE_TICKS"]))
        until("the clock goes on", lambda: len(lines(os.environ["SITE_TICKS"])) > ticks)
    finally:
        assert server.stop() == 0, open(server.log).read()
    until("nothing is left", local.is_gone)


def a_master_that_is_killed(local):
    server = Server(local, 0, "--workers", "1")
    try:
        assert computes(server, 4)
    finally:
        server.process.kill()
        server.process.wait()
    until("nothing is left", local.is_gone)


def a_port_that_is_taken(local):
    with socket.create_server(("127.0.0.1", local.port)):
        server = subprocess.run(
            [os.environ["HOSTLER"], "engine_site:app", "--uds", os.path.join(local.folder, "s"), "--python", sys.executable, *local.options()],
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
    said = server.stdout + server.stderr
    assert server.returncode == 3 and f"127.0.0.1:{local.port} is in use" in said, said


def clusters_that_are_not_there(local):
    """Web workers serve, and say so at the call; a task worker is tried again."""
    local.options = lambda: ["--task-engine", "ray", "--task-ray-address", f"127.0.0.1:{local.port}"]
    server = Server(local, 1, "--workers", "1")
    try:
        began = time.monotonic()
        said = server.get("/start/double", 1)
        assert said.startswith("QueueUnavailable: there is no Ray cluster") and "ray start" in said, said
        assert time.monotonic() - began < 10
        until("the task worker says so", lambda: "a task worker cannot join the Ray cluster" in open(server.log).read())
    finally:
        assert server.stop() == 0, open(server.log).read()


def a_site_with_ray(local):
    """Its own `ray.init()` finds the server's cluster."""
    server = Server(local, 0, "--workers", "2", target="ray_app:app", folder=EXAMPLES)
    try:
        assert json.loads(server.get("/count"))["count"] == 1
    finally:
        assert server.stop() == 0, open(server.log).read()
    until("nothing is left", local.is_gone)


VERSION = """
import engine_site
from hostler.tasks import cron, task

if %(factor)d == 2:
    @cron("* * * * * *")
    def goes():
        with open(__file__ + ".ticks", "a") as file:
            file.write("tick\\n")

@task
def double(x):
    return x * %(factor)d

engine_site.double = double
app = engine_site.app
"""


def code_that_is_deployed(local):
    """What is enqueued after a reload runs the new code, though Ray's workers have loaded the old one; a schedule that it has no more goes."""
    file = os.path.join(local.folder, "deployed.py")
    options = ["--workers", "1", "--python-path", ".", "--python-path", os.path.dirname(engine_site.__file__)]
    with open(file, "w") as code:
        code.write(VERSION % {"factor": 2})
    server = Server(local, 1, *options, target="deployed:app", folder=local.folder)
    try:
        assert [server.get("/result/" + server.get("/start/double", n)) for n in range(4)] == ["0", "2", "4", "6"]
        until("the clock ticks", lambda: lines(file + ".ticks"))
        with open(file, "w") as code:
            code.write(VERSION % {"factor": 30})
        server.process.send_signal(signal.SIGHUP)
        until("it has reloaded", lambda: "reloaded" in open(server.log).read())
        assert [server.get("/result/" + server.get("/start/double", n)) for n in range(4)] == ["0", "30", "60", "90"]
        ticks = len(lines(os.environ["SITE_TICKS"]))
        until("the clock goes on", lambda: len(lines(os.environ["SITE_TICKS"])) > ticks + 2)
        gone = len(lines(file + ".ticks"))
        until("the clock goes on", lambda: len(lines(os.environ["SITE_TICKS"])) > ticks + 5)
        assert len(lines(file + ".ticks")) == gone, "a schedule that is no more"
    finally:
        assert server.stop() == 0, open(server.log).read()


TESTS = [
    a_cluster_of_a_server,
    a_cluster_that_dies,
    a_master_that_is_killed,
    a_port_that_is_taken,
    clusters_that_are_not_there,
    a_site_with_ray,
    code_that_is_deployed,
]


def main(only):
    for test in TESTS:
        if only and only not in test.__name__:
            continue
        local, began = Local(), time.monotonic()
        try:
            test(local)
        except BaseException:
            print("".join(line + "\n" for line in lines(os.path.join(local.folder, "log"))[-200:]), flush=True)
            raise
        finally:
            local.close()
        print(f"{test.__name__} well, {time.monotonic() - began:.1f} s", flush=True)
    print("all well")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
