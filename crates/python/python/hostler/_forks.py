"""Processes that the application forks: they become ordinary processes, detached from the server.

Descriptors, signal handlers and shared memory are released in Rust (`hostler_sys::own`); Python's state is reset here.
"""

import os
import signal
import sys
import traceback

from _hostler import after_fork_in_child, after_fork_in_parent, before_fork, is_forked


def install():
    """Takes effect in this process and those that it forks."""
    os.register_at_fork(before=before_fork, after_in_parent=after_fork_in_parent, after_in_child=_in_child)


def _in_child():
    if not after_fork_in_child():
        return
    _forget_stacks()
    _forget_loop()
    # Installs Python's own SIGINT handler again.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _forget_stacks():
    stacks = sys.modules.get("hostler._stacks")
    if stacks is not None:
        stacks.forget()


def _forget_loop():
    """Unsets the running loop, as asyncio does from Python 3.12 on, and closes the descriptors of the serving loop."""
    signal.set_wakeup_fd(-1)
    events = sys.modules.get("asyncio.events")
    if events is None:
        return
    events._set_running_loop(None)
    policy = getattr(events, "_event_loop_policy", None)
    if hasattr(policy, "_local") and hasattr(policy, "_Local"):
        policy._local = policy._Local()
    worker = sys.modules.get("hostler._worker")
    if worker is not None and worker.loop is not None:
        # The worker runs the loop's other callbacks.
        getattr(worker.loop, "_ready", []).clear()
        for part in ("_selector", "_ssock", "_csock"):
            try:
                getattr(worker.loop, part).close()
            except Exception:
                # uvloop has none of them and resets itself.
                pass


def exit_if_forked(error=None):
    """Ends a process that the application forked when it returns from the application."""
    if is_forked():
        ended_by = sys.exc_info()[1]
        # asyncio's own loop raises because its selector was closed; a task's exception is reported instead.
        if error is None and not isinstance(ended_by, (ValueError, IndexError)):
            error = ended_by
        os._exit(finish(error))


def finish(error):
    """Reports `error` and flushes, as a script does when it ends; returns the exit code."""
    code = 0
    error = error or _error_of_task()
    if isinstance(error, SystemExit):
        code = _code_of(error)
    elif error is not None:
        traceback.print_exception(type(error), error, error.__traceback__)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass
    return code


def _error_of_task():
    """The exception of a task that the forked process ran, unless it was retrieved."""
    tasks = sys.modules.get("asyncio.tasks")
    known = getattr(tasks, "_scheduled_tasks", None) or getattr(tasks, "_all_tasks", None) or ()
    for task in list(known):
        if task.done() and getattr(task, "_log_traceback", False):
            return task.exception()
    return None


def _code_of(exit):
    if exit.code is None:
        return 0
    if isinstance(exit.code, int):
        return exit.code & 0xFF
    print(exit.code, file=sys.stderr)
    return 1
