"""What a worker tells of itself when the master asks: by a signal, so also when nothing else moves.

faulthandler writes the stacks of all threads from the signal's handler in C, without the GIL. Then Python's own
handler, if Python gets to run, adds the stacks of asyncio's tasks.
"""

import asyncio
import faulthandler
import io
import os
import signal

_loop = None


def register(descriptor, report, sample):
    """Writes to `descriptor` at the signals `report` (all there is) and `sample` (threads alone)."""

    def tell_tasks(_number, _frame):
        if _loop is not None:
            os.write(descriptor, _tasks().encode())

    signal.signal(report, tell_tasks)
    faulthandler.register(report, file=descriptor, all_threads=True, chain=True)
    faulthandler.register(sample, file=descriptor, all_threads=True)


def watch(loop):
    """Names the loop whose tasks are told."""
    global _loop
    _loop = loop


def _tasks():
    text = io.StringIO()
    for task in asyncio.all_tasks(_loop):
        text.write("\n")
        task.print_stack(limit=8, file=text)
    return text.getvalue()
