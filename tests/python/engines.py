"""The engines of tasks with what they need: real servers of Redis and RabbitMQ, started on free ports and always ended."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

LIMIT = 90


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(what, condition, limit=LIMIT):
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class Redis:
    def __init__(self, folder):
        self.folder = os.path.join(folder, "redis")
        os.mkdir(self.folder)
        self.port = free_port()
        self.start()

    def url(self, number):
        return f"redis://127.0.0.1:{self.port}/{number}"

    def start(self):
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder, "--appendonly", "yes"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until("Redis listens", lambda: listens(self.port))

    def stop(self):
        self.process.terminate()
        self.process.wait(LIMIT)


class RabbitMQ:
    """A node of its own: name, ports, directories, and its own epmd."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, "rabbitmq")
        os.mkdir(self.folder)
        self.port, distribution, epmd = free_port(), free_port(), free_port()
        self.environment = {
            **os.environ,
            "HOME": self.folder,
            "ERL_EPMD_PORT": str(epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"hostler{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": self.folder,
            "RABBITMQ_LOG_BASE": self.folder,
            "RABBITMQ_ENABLED_PLUGINS_FILE": os.path.join(self.folder, "plugins"),
            "RABBITMQ_CONFIG_FILE": os.path.join(self.folder, "rabbitmq"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +S 1:1",
        }
        with open(self.environment["RABBITMQ_ENABLED_PLUGINS_FILE"], "w") as file:
            file.write("[].\n")
        self.epmd = subprocess.Popen(["epmd", "-port", str(epmd), "-address", "127.0.0.1"], env=self.environment, stderr=subprocess.DEVNULL)
        until("epmd listens", lambda: listens(epmd))
        self.start()

    def url(self):
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self):
        program = "/usr/lib/rabbitmq/bin/rabbitmq-server"
        self.process = subprocess.Popen([program], env=self.environment, stdout=subprocess.DEVNULL, start_new_session=True)
        until("RabbitMQ listens", lambda: self.process.poll() is not None or listens(self.port))
        assert self.process.poll() is None, "RabbitMQ does not start"

    def stop(self):
        # The scripts around it pass on no signal.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(LIMIT)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        until("RabbitMQ is gone", lambda: not listens(self.port))

    def end(self):
        self.stop()
        self.epmd.kill()
        self.epmd.wait()


def _processes(words):
    """Those whose command line has these words."""
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if words in _read(pid, "cmdline")]


def _session(pid):
    with contextlib.suppress(OSError):
        return os.getsid(pid)


def _environment(pid, words):
    return words in _read(pid, "environ")


def _read(pid, file):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/{file}", errors="replace") as opened:
        return opened.read()
    return ""


class Embedded:
    """Nothing beside the server."""

    name = "embedded"
    workers = 2

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="hostler-engine-")
        self.queue = os.path.join(self.folder, "queue.db")

    def options(self):
        return ["--task-queue", self.queue]

    def configuration(self):
        return {"queue": self.queue}

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Celery:
    workers = 2

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="hostler-engine-")
        self.redis = Redis(self.folder)

    def options(self):
        return ["--task-engine", "celery", "--task-broker", self.broker(), "--task-results", self.redis.url(1)]

    def configuration(self):
        return {"engine": "celery", "broker": self.broker(), "results": self.redis.url(1)}

    def close(self):
        self.redis.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class CeleryRedis(Celery):
    name = "celery-redis"

    def broker(self):
        return self.redis.url(0)

    def break_broker(self):
        self.redis.stop()

    def mend_broker(self):
        self.redis.start()


class CeleryRabbitMQ(Celery):
    name = "celery-rabbitmq"

    def __init__(self):
        super().__init__()
        try:
            self.rabbitmq = RabbitMQ(self.folder)
        except BaseException:
            super().close()
            raise

    def broker(self):
        return self.rabbitmq.url()

    def break_broker(self):
        self.rabbitmq.stop()

    def mend_broker(self):
        self.rabbitmq.start()

    def close(self):
        self.rabbitmq.end()
        super().close()


class Ray:
    """A cluster of this machine, of two processors."""

    name = "ray"
    workers = 1

    def __init__(self):
        # Short, for its sockets.
        self.folder = tempfile.mkdtemp(prefix="hostler-ray-", dir="/tmp")
        self.port = free_port()
        while 10002 <= self.port <= 19999:
            # Of its workers.
            self.port = free_port()
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self):
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats", "--include-dashboard=false"]
        ray += ["--node-ip-address", "127.0.0.1", "--port", str(self.port), "--num-cpus", "2", "--temp-dir", self.folder]
        ray += ["--object-store-memory", "100000000"]
        # Its workers have its environment, not the server's.
        environment = {**os.environ, "SITE_TICKS": os.path.join(self.folder, "ticks")}
        self.process = subprocess.Popen(ray, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        until("Ray listens", lambda: self.process.poll() is not None or listens(self.port))
        assert self.process.poll() is None, "Ray does not start"

    def options(self):
        return ["--task-engine", "ray", "--task-ray-address", f"127.0.0.1:{self.port}"]

    def configuration(self):
        return {"engine": "ray", "ray_address": f"127.0.0.1:{self.port}"}

    def pids_of(self, word):
        """Processes of this cluster, by a word of their command line."""
        return [pid for pid in _processes(word) if _environment(pid, self.folder)]

    def gateways(self):
        return _processes(f"_ray_gateway\0127.0.0.1:{self.port}")

    def break_broker(self):
        # Told to end, it would drain for half a minute.
        its = [pid for pid in _processes("") if _session(pid) == self.process.pid]
        self.process.kill()
        self.process.wait()
        for pid in its + _processes(self.folder):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        until("Ray is gone", lambda: not listens(self.port))

    def mend_broker(self):
        self.start()

    def close(self):
        self.break_broker()
        shutil.rmtree(self.folder, ignore_errors=True)


ENGINES = {engine.name: engine for engine in (Embedded, CeleryRedis, CeleryRabbitMQ, Ray)}
