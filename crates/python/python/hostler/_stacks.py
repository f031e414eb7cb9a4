"""Stacks of a worker that is stuck or crashes, written in C and without the GIL where necessary (faulthandler).

A thread of the server watches for a blocked loop (`host/observe.rs`). Before that thread exists, while the worker
boots, the master sends a signal to a worker that it is about to kill: the handler writes the stacks of all threads.
Then Python's own handler, if Python gets to run, adds those of asyncio's tasks.
"""

import asyncio
import faulthandler
import os
import reprlib
import signal
import sys
import time

_MOST = 100
# For how long tasks are told at a time, and in all, in seconds.
_HELD = 0.001
_LONGEST = 0.5
_loop = None
_signals = ()
# By PYTHONFAULTHANDLER or -X faulthandler: this is imported before the application.
_asked_for_by_environment = faulthandler.is_enabled()


def register(descriptor, report):
    """Writes stacks to `descriptor` in a crash, and those of threads and tasks at the signal `report`."""

    def tell_tasks(_number, _frame):
        os.write(descriptor, tasks().encode("utf-8", "backslashreplace"))

    signal.signal(report, tell_tasks)
    faulthandler.register(report, file=descriptor, all_threads=True, chain=True)
    _remember(report)
    # A preloaded application may have enabled it with its own file.
    if _asked_for_by_environment or not faulthandler.is_enabled():
        faulthandler.disable()
        faulthandler.enable(file=descriptor)


def register_samples(descriptor, sample):
    """Registers a handler that writes the threads' stacks for the signal `sample`, which is never sent."""
    faulthandler.register(sample, file=descriptor, all_threads=True)
    _remember(sample)


def _remember(number):
    global _signals
    _signals += (number,)


def forget():
    """In a process that the application forked: reports its crashes on standard error."""
    for number in _signals:
        faulthandler.unregister(number)
        signal.signal(number, signal.SIG_DFL)
    if _signals:
        faulthandler.disable()
        faulthandler.enable(file=2)


# Debuggers, by the modules whose functions run while they hold a thread.
_DEBUGGERS = ("bdb", "pdb", "pydevd", "_pydevd_bundle", "_pydev_bundle", "debugpy", "pudb")


def is_debugged():
    """Whether a debugger holds a thread, at a prompt say."""
    return any(_is_held(frame) for frame in sys._current_frames().values())


def _is_held(frame):
    """Whether code of the application has called a debugger. Debuggers have threads of their own, too."""
    in_debugger = False
    while frame is not None:
        module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if module in _DEBUGGERS:
            in_debugger = True
        elif in_debugger and module != "threading":
            return True
        frame = frame.f_back
    return False


def watch(loop):
    """Sets the loop whose tasks are reported."""
    global _loop
    _loop = loop


def tasks():
    """The stacks of asyncio's tasks, as text."""
    if _loop is None:
        return ""
    known = [task for task in asyncio.all_tasks(_loop) if _kind(task) != "_service"]
    # The lifespan first: a boot waits for it.
    known.sort(key=lambda task: _kind(task) != "Lifespan._run")
    return "".join(f"\n{_stack(task)}" for task in known)


def tasks_briefly():
    """As `tasks`, of at most 100 tasks, for a worker that serves on: others get the GIL again and again."""
    if _loop is None:
        return ""
    parts = []
    held = time.perf_counter()
    # Each of many busy threads keeps the GIL for 5 ms.
    ends = held + _LONGEST
    for task in asyncio.all_tasks(_loop):
        if _kind(task) == "_service":
            continue
        if len(parts) == _MOST or held > ends:
            parts.append("\n(there are more tasks)\n")
            break
        parts.append(f"\n{_stack(task)}")
        if time.perf_counter() - held > _HELD:
            time.sleep(0)
            held = time.perf_counter()
    return "".join(parts)


def _kind(task):
    return getattr(task.get_coro(), "__qualname__", "")


def _stack(task):
    """All frames from the task's own to the one that is suspended; `Task.print_stack` has only the first."""
    lines = [f"Stack for {_name(task)} (most recent call last):\n"]
    waiting = task.get_coro()
    while waiting is not None and len(lines) < 50:
        frame = _first(waiting, "cr_frame", "gi_frame", "ag_frame")
        if frame is not None:
            code = frame.f_code
            lines.append(f'  File "{code.co_filename}", line {frame.f_lineno}, in {code.co_name}\n')
        waiting = _first(waiting, "cr_await", "gi_yieldfrom", "ag_await")
    return "".join(lines)


def _first(thing, *names):
    for name in names:
        if (value := getattr(thing, name, None)) is not None:
            return value
    return None


def _name(task):
    coroutine = getattr(task.get_coro(), "__qualname__", None) or reprlib.repr(task.get_coro())
    return f"<Task {task.get_name()!r} {coroutine}>"
