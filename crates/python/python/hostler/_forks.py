"""Processes that the application forks: they are ordinary ones, with nothing of ours.

Descriptors, signal handlers and shared memory are given up in Rust (`sys/own.rs`); what Python keeps is put right here.
"""

import os
import signal
import sys
import traceback

from _hostler import after_fork_in_child, after_fork_in_parent, before_fork, is_forked


def install():
    """From now on, in this process and in those that it forks."""
    os.register_at_fork(before=before_fork, after_in_parent=after_fork_in_parent, after_in_child=_in_child)


def _in_child():
    if not after_fork_in_child():
        return
    _forget_stacks()
    _forget_loop()
    # What Python takes for the handler of SIGINT since it started.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _forget_stacks():
    stacks = sys.modules.get("hostler._stacks")
    if stacks is not None:
        stacks.forget()


def _forget_loop():
    """As asyncio does from Python 3.12 on; and the descriptors of the loop that serves."""
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
        # The loop's other callbacks are the worker's to run.
        getattr(worker.loop, "_ready", []).clear()
        for part in ("_selector", "_ssock", "_csock"):
            try:
                getattr(worker.loop, part).close()
            except Exception:
                # uvloop has none of them, and puts itself right.
                pass


def stay_out(error=None):
    """Ends a process that the application forked when it comes back from the application."""
    if is_forked():
        ended_by = sys.exc_info()[1]
        # asyncio's own loop ends with an error of the selector that was closed; what a task raised is told instead.
        if error is None and not isinstance(ended_by, (ValueError, IndexError)):
            error = ended_by
        os._exit(farewell(error))


def farewell(error):
    """What a script does at its end; returns the exit code."""
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
    """What a task raised that the forked process ran, unless it was asked for."""
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
