"""Importing the application before workers are forked, and what makes such forks unsafe."""

import gc
import os
import socket
import stat
import sys
import threading

from hostler import _load

loaded = None


def preload(target, factory, working_dir, python_path, interface, log_config):
    """Loads the application for all later workers; returns what makes a fork unsafe, one line each."""
    global loaded
    # The collector skips frozen objects, and while it is off it frees none between them: more pages stay shared.
    gc.disable()
    loaded = _load.load(target, factory, working_dir, python_path, interface, log_config)
    found = list(problems())
    gc.collect()
    gc.freeze()
    return found


def problems():
    """What makes a fork of this process unsafe."""
    yield from _threads()
    yield from _descriptors()
    yield from _libraries()
    loop = sys.modules.get("asyncio") and _running_loop()
    if loop is not None:
        yield f"an event loop is running: {loop!r}"


def _threads():
    known = {thread.native_id for thread in threading.enumerate()}
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            target = getattr(thread, "_target", None)
            place = f" running {target.__module__}.{target.__qualname__}" if target else ""
            yield f"the thread {thread.name!r}{place} is running, and will not exist in workers"
    for task in os.listdir("/proc/self/task"):
        if int(task) not in known:
            with open(f"/proc/self/task/{task}/comm") as comm:
                yield f"a thread of a C library, {comm.read().strip()!r}, is running, and will not exist in workers"


def _descriptors():
    for name in os.listdir("/proc/self/fd"):
        try:
            link = os.readlink(f"/proc/self/fd/{name}")
            if "[eventpoll]" in link:
                yield f"descriptor {name} is an epoll set, which workers would share"
            elif stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                yield from _connection(int(name))
        except OSError:
            continue


def _connection(descriptor):
    with socket.socket(fileno=os.dup(descriptor)) as connection:
        if connection.family in (socket.AF_INET, socket.AF_INET6) and connection.type == socket.SOCK_STREAM:
            try:
                peer = connection.getpeername()
            except OSError:
                return
            yield f"descriptor {descriptor} is a connection to {peer[0]}:{peer[1]}, which workers would share"


def _libraries():
    grpc = sys.modules.get("grpc._cython.cygrpc")
    if grpc is not None:
        yield "gRPC is imported: its channels do not survive a fork; make them in hostler.hooks.after_fork_child"
    torch = sys.modules.get("torch")
    if torch is not None and getattr(torch, "cuda", None) is not None and torch.cuda.is_initialized():
        yield "CUDA is initialised, and cannot be used after a fork"


def _running_loop():
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def after_fork():
    """Makes a forked worker independent of the process that it was forked from."""
    gc.enable()
    random = sys.modules.get("random")
    if random is not None:
        random.seed()
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed()
    _forget_celery()


def _forget_celery():
    """Celery and kombu know of the forks of their own multiprocessing only: connections to brokers and results are made anew."""
    state, util, pools = (sys.modules.get(name) for name in ("celery._state", "billiard.util", "kombu.pools"))
    if util is not None:
        util._run_after_forkers()
    if pools is not None:
        pools.reset()
    for app in list(state._get_active_apps()) if state is not None else ():
        app._after_fork()
        app._backend_cache = None
        if hasattr(getattr(app, "_local", None), "backend"):
            del app._local.backend
