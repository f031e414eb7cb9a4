"""Functions of the application that hostler calls around forks and in workers.

    from hostler import hooks

    @hooks.before_fork
    def close_pool():
        pool.close()

`before_fork` and `after_fork_parent` run in the mold (the process that workers are forked from), which imports the
application only with --preload; `after_fork_child` runs in the new worker before anything else, `worker_ready` right
before it accepts connections, `worker_exit` after it has drained. Exceptions are logged; in `after_fork_child` and
`worker_ready` they also keep the worker from serving.

HOSTLER_WORKER and HOSTLER_GENERATION in the environment tell a worker its number, from 1, and how many reloads
came before it.
"""

import logging

__all__ = ["after_fork_child", "after_fork_parent", "before_fork", "worker_exit", "worker_ready"]

_functions = {}


def before_fork(function):
    """Registers a function that is called before each fork of a worker."""
    return _register("before_fork", function)


def after_fork_parent(function):
    """Registers a function that is called after each fork in the process that forked."""
    return _register("after_fork_parent", function)


def after_fork_child(function):
    """Registers a function that is called first in each new worker."""
    return _register("after_fork_child", function)


def worker_ready(function):
    """Registers a function that is called right before a worker accepts connections."""
    return _register("worker_ready", function)


def worker_exit(function):
    """Registers a function that is called after a worker has drained."""
    return _register("worker_exit", function)


def _register(name, function):
    _functions.setdefault(name, []).append(function)
    return function


def _run(name):
    for function in _functions.get(name, ()):
        function()


def _run_all(name):
    """Runs all of them; exceptions are logged."""
    for function in _functions.get(name, ()):
        try:
            function()
        except Exception:
            logging.getLogger("hostler.hooks").exception("the hook %s raised", name)
