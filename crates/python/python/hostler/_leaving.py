"""A worker's end on the Python side: what Python does at its own end, in the same order.

The master kills a worker that takes longer than `--graceful-timeout`; what holds it up is told before that.
"""

import asyncio
import atexit
import contextlib
import sys
import threading
import traceback

from _hostler import rest
from hostler import _log, _stacks

log = _log.logger("hostler.worker")

# After so many seconds it is told what a worker waits for, unless it has less time.
PATIENCE = 2.0


class Leaving:
    """What is to be done when the service is over."""

    def __init__(self, graceful_timeout):
        self.patience = min(PATIENCE, graceful_timeout / 2)
        # Everything was answered, and there is time left.
        self.drained = False

    def close(self, loop):
        """Ends what the application left running, as asyncio.run does."""
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=1))
        loop.run_until_complete(loop.shutdown_asyncgens())
        if self.drained:
            with self.watch("work in the loop's executor"):
                loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    def leave(self):
        """What Python would do at its end; the process leaves by _exit, because daemon threads may still run."""
        # Nothing is late any more because this thread waits.
        rest()
        with self.watch("threads of the application"):
            self._end_threads()
        try:
            with self.watch("a function that was registered with atexit"):
                atexit._run_exitfuncs()
        except BaseException:
            log.exception("a function that was registered with atexit raised")
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                pass

    def _end_threads(self):
        """Executors finish their work, and other threads theirs unless they are daemons."""
        try:
            if self.drained:
                threading._shutdown()
            elif process := sys.modules.get("concurrent.futures.process"):
                # Its processes end only when they are told, and multiprocessing waits for them.
                process._python_exit()
        except BaseException:
            log.exception("the end of the application's threads failed")

    @contextlib.contextmanager
    def watch(self, what):
        """Tells what holds up the worker's end, if something does."""
        waiting = threading.get_ident()
        over = threading.Event()

        def tell():
            if not over.wait(self.patience):
                log.warning("the worker cannot leave yet: it waits for %s\n%s", what, _where(waiting).rstrip())

        try:
            threading.Thread(target=tell, name="hostler-leaving", daemon=True).start()
        except RuntimeError:
            # No thread can be had: it is not told.
            pass
        try:
            yield
        finally:
            over.set()


def _where(waiting):
    """The stacks of the thread that waits, of those that it may wait for, and of asyncio's tasks."""
    frames = sys._current_frames()
    others = [thread.ident for thread in threading.enumerate() if not thread.daemon and thread.ident != waiting]
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = [
        f"Thread {names.get(ident, ident)} (most recent call last):\n" + "".join(traceback.format_stack(frames[ident]))
        for ident in (*others, waiting)
        if ident in frames
    ]
    return "".join(parts) + _stacks.tasks()
