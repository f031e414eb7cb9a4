"""What a worker tells of itself when it hangs or crashes, in C and without the GIL where it must (faulthandler).

A loop that stands still is observed by a thread of ours (`host/observe.rs`). Where there is none yet, in a boot that
hangs, the master asks the worker that it is about to kill, by a signal: the handler writes the stacks of all threads.
Then Python's own handler, if Python gets to run, adds those of asyncio's tasks.
"""

import asyncio
import faulthandler
import os
import reprlib
import signal

_loop = None
_signals = ()
# PYTHONFAULTHANDLER or -X faulthandler, as this is imported before anything of the application's.
_asked_for_by_environment = faulthandler.is_enabled()


def register(descriptor, report):
    """Writes to `descriptor` in a crash, and at the signal `report` all there is."""

    def tell_tasks(_number, _frame):
        os.write(descriptor, tasks().encode())

    signal.signal(report, tell_tasks)
    faulthandler.register(report, file=descriptor, all_threads=True, chain=True)
    _remember(report)
    # An application that has been preloaded may have chosen a file of its own.
    if _asked_for_by_environment or not faulthandler.is_enabled():
        faulthandler.disable()
        faulthandler.enable(file=descriptor)


def register_samples(descriptor, sample):
    """Makes the handler of the signal `sample` one that writes the threads' stacks; nobody sends it."""
    faulthandler.register(sample, file=descriptor, all_threads=True)
    _remember(sample)


def _remember(number):
    global _signals
    _signals += (number,)


def forget():
    """In a process that the application forked: a crash there is told on standard error."""
    for number in _signals:
        faulthandler.unregister(number)
        signal.signal(number, signal.SIG_DFL)
    if _signals:
        faulthandler.disable()
        faulthandler.enable(file=2)


def watch(loop):
    """Names the loop whose tasks are told."""
    global _loop
    _loop = loop


def tasks():
    """The stacks of asyncio's tasks, as text."""
    if _loop is None:
        return ""
    known = [task for task in asyncio.all_tasks(_loop) if _kind(task) != "_service"]
    # The lifespan first: it is what a boot waits for.
    known.sort(key=lambda task: _kind(task) != "Lifespan._run")
    return "".join(f"\n{_stack(task)}" for task in known)


def _kind(task):
    return getattr(task.get_coro(), "__qualname__", "")


def _stack(task):
    """All frames from the task's own to the one that waits; `Task.print_stack` has only the first."""
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
