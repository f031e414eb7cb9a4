"""Forks in every way that applications do, and tells what the forked processes find."""

import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from concurrent.futures import ProcessPoolExecutor

fork = multiprocessing.get_context("fork")


def square(number):
    return number * number


def describe():
    """What this process has that is not Python's own."""
    descriptors = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            descriptors[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
    handled = [name for name in open("/proc/self/status") if name.startswith(("SigCgt", "SigIgn", "SigBlk"))]
    return {
        "descriptors": {number: link for number, link in descriptors.items() if number > 2},
        "signals": {line.split(":")[0]: int(line.split()[1], 16) for line in handled},
        "threads": len(os.listdir("/proc/self/task")),
        "wakeup": signal.set_wakeup_fd(-1),
        "term": signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
        "int": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "ran": asyncio.run(asyncio.sleep(0.01, "ran")),
    }


def in_child(work):
    """Runs `work` in a forked process; returns what it returned."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            answer = work()
        except BaseException:
            answer = {"failed": traceback.format_exc()}
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as file:
        answer = json.load(file)
    os.waitpid(child, 0)
    answer["pipe"] = writer
    return answer


def from_thread():
    answers = []
    thread = threading.Thread(target=lambda: answers.append(in_child(describe)))
    thread.start()
    thread.join()
    return answers[0]


def pool():
    """Leaves the pool by its `__exit__`, which terminates its processes."""
    with fork.Pool(3) as workers:
        return workers.map(square, range(10))


def process():
    """A process that is left alone, and one that is terminated."""
    answers = []
    for terminates in (False, True):
        worker = fork.Process(target=time.sleep, args=(60 if terminates else 0,), daemon=True)
        worker.start()
        if terminates:
            worker.terminate()
        worker.join(20)
        answers.append(worker.exitcode)
    return answers


def executor():
    with ProcessPoolExecutor(2, mp_context=fork) as workers:
        return list(workers.map(square, range(10)))


def signalled(number):
    """How a forked process that does nothing ends by a signal."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, b"x")
            time.sleep(60)
        except KeyboardInterrupt:
            os._exit(77)
        os._exit(1)
    os.read(reader, 1)
    os.close(reader)
    os.close(writer)
    # Asleep: Python forgets a signal that comes right before a system call, and some in children of a thread.
    while " S " not in open(f"/proc/{child}/stat").read():
        time.sleep(0.001)
    os.kill(child, number)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def signals():
    return [signalled(number) for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT, signal.SIGHUP)]


def warned():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(50):
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
    return [str(warning.message) for warning in caught]


def programs():
    """The signals that a started program catches, ignores and blocks, without and with a fork of Python's."""
    command = ["grep", "-E", "Sig(Cgt|Ign|Blk)", "/proc/self/status"]
    plain = subprocess.run(command, capture_output=True, text=True).stdout
    forked = subprocess.run(command, capture_output=True, text=True, preexec_fn=os.getpid).stdout
    return [plain, forked]


def terminal():
    child, master = os.forkpty()
    if child == 0:
        print(json.dumps(describe()), flush=True)
        os._exit(0)
    text = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        text += piece
    os.close(master)
    os.waitpid(child, 0)
    answer = json.loads(text)
    answer["pipe"] = -1
    return answer


def orphan():
    """A process that lives on; what it keeps open stays open."""
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    return child


def end(number):
    """Ends what `orphan` left."""
    os.kill(number, signal.SIGKILL)
    os.waitpid(number, 0)
    return "ended"


def came_back(child):
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


QUESTIONS = {
    "describe": lambda: in_child(describe),
    "thread": from_thread,
    "terminal": terminal,
    "pool": pool,
    "executor": executor,
    "process": process,
    "signals": signals,
    "warned": warned,
    "programs": programs,
    "orphan": orphan,
    "pid": os.getpid,
}


def answer(path):
    name, _, argument = path.strip("/").partition("/")
    if name == "end":
        return json.dumps(end(int(argument))).encode()
    if name == "returns":
        # The forked process returns with a response of its own, in one of several ways.
        child = os.fork()
        if child == 0:
            if argument == "exit":
                sys.exit(7)
            if argument == "raise":
                raise ValueError("raised in a forked process")
            return b"the forked process"
        return json.dumps(came_back(child)).encode()
    return json.dumps(QUESTIONS[name]()).encode()


if os.environ.get("FORK_AT_IMPORT"):
    with open(os.environ["FORK_AT_IMPORT"], "w") as file:
        json.dump([in_child(describe), process(), signals()], file)


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    if scope["path"].startswith("/later/"):
        await asyncio.sleep(0.01)
        body = answer(scope["path"].removeprefix("/later"))
    else:
        body = answer(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def wsgi(environ, start_response):
    body = answer(environ["PATH_INFO"])
    start_response("200 OK", [("content-length", str(len(body)))])
    return [body]


class Rsgi:
    async def __rsgi__(self, scope, protocol):
        protocol.response_bytes(200, [], answer(scope.path))


rsgi = Rsgi()
