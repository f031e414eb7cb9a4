"""Functions of gunicorn.conf.py, called where Gunicorn calls them."""

import importlib
import importlib.util
import os
import sys
import traceback
import types

from hostler import _load, _log, hooks


class Server:
    """What hooks are given of the master."""

    def __init__(self, cfg):
        self.cfg = cfg
        self.log = _log.to_the_server("gunicorn.error")
        self.pid = os.getppid()
        self.WORKERS = {}


class Worker:
    """What hooks are given of the worker."""

    def __init__(self, number, cfg):
        self.cfg = cfg
        self.log = _log.to_the_server("gunicorn.error")
        self.pid = os.getpid()
        self.ppid = os.getppid()
        self.age = self.nr = number
        self.booted = self.alive = True


# The functions that are called.
CALLED = ("pre_fork", "post_fork", "post_worker_init", "when_ready", "worker_exit", "child_exit")


def functions(location):
    """The names of the functions of a file, or of python:module, that would be called."""
    found = _found(location)
    return [name for name in CALLED if callable(found.get(name))]


def _found(location):
    try:
        return _variables(location)
    except (Exception, SystemExit) as error:
        raise _load.LoadError(
            f"cannot use the functions of `{location}`",
            cause="".join(traceback.format_exception(error)).rstrip(),
            hint="the file raised this",
            kind="config",
        ) from None


def install(location, number, generation):
    """Registers the functions of a file, or of python:module, as hooks of this worker."""
    found = _found(location)
    cfg = types.SimpleNamespace(**{name: value for name, value in found.items() if not name.startswith("_")})
    server, worker = Server(cfg), Worker(number, cfg)
    of_both, first = (server, worker), number == 1 and generation == 0
    _register(hooks.after_fork_child, found.get("pre_fork"), of_both)
    _register(hooks.after_fork_child, found.get("post_fork"), of_both)
    _register(hooks.worker_ready, found.get("post_worker_init"), (worker,))
    if first:
        _register(hooks.worker_ready, found.get("when_ready"), (server,))
    _register(hooks.worker_exit, found.get("worker_exit"), of_both)
    _register(hooks.worker_exit, found.get("child_exit"), of_both)


def _register(hook, function, arguments):
    if callable(function):
        hook(lambda: function(*arguments))


def _variables(location):
    here = _load.started_in
    if here not in sys.path:
        sys.path.insert(0, here)
    if location.startswith("python:"):
        return dict(vars(importlib.import_module(location[len("python:") :])))
    path = os.path.join(here, location[len("file:") :] if location.startswith("file:") else location)
    module = types.ModuleType("__config__")
    module.__file__ = path
    sys.modules["__config__"] = module
    with open(path, "rb") as file:
        exec(compile(file.read(), path, "exec"), vars(module))
    return dict(vars(module))
