"""The exit of a worker on the Python side: what Python does when it exits, in the same order.

The master kills a worker that takes longer than `--graceful-timeout`; what blocks the exit is logged before that.
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

# What blocks the exit is logged after this, or after half of a shorter graceful timeout.
PATIENCE_SECONDS = 2.0
# How long tasks may take to handle their cancellation; and once the graceful timeout is over, when the master allows
# one second more for all that is left.
CANCEL_SECONDS = 1.0
CANCEL_LATE_SECONDS = 0.5


class Shutdown:
    """What is left to do when serving has ended."""

    def __init__(self, graceful_timeout):
        self.patience = min(PATIENCE_SECONDS, graceful_timeout / 2)
        # All requests were finished within the graceful timeout.
        self.drained = False

    def close(self, loop):
        """Cancels what the application left running and closes the loop, as asyncio.run does."""
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            limit = CANCEL_SECONDS if self.drained else CANCEL_LATE_SECONDS
            loop.run_until_complete(asyncio.wait(tasks, timeout=limit))
        loop.run_until_complete(loop.shutdown_asyncgens())
        if self.drained:
            with self.watch("work in the loop's executor"):
                loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    def finish(self):
        """What Python does when it exits; the process ends by _exit, because daemon threads may still run."""
        # From now on a blocked thread is no stall.
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
        """Waits for executors, and for threads that are no daemons."""
        try:
            if self.drained:
                threading._shutdown()
            elif process := sys.modules.get("concurrent.futures.process"):
                # Its processes end only when told to, and multiprocessing waits for them.
                process._python_exit()
        except BaseException:
            log.exception("ending the threads of the application failed")

    @contextlib.contextmanager
    def watch(self, what):
        """Logs what the worker waits for if that takes long."""
        waiting = threading.get_ident()
        over = threading.Event()

        def tell():
            if not over.wait(self.patience):
                log.warning("the worker cannot exit yet: it waits for %s\n%s", what, _where(waiting).rstrip())

        try:
            threading.Thread(target=tell, name="hostler-shutdown", daemon=True).start()
        except RuntimeError:
            # No thread can be started: nothing is logged.
            pass
        try:
            yield
        finally:
            over.set()


def _where(waiting):
    """The stacks of the waiting thread, of those that it may wait for, and of asyncio's tasks."""
    frames = sys._current_frames()
    others = [thread.ident for thread in threading.enumerate() if not thread.daemon and thread.ident != waiting]
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = [
        f"Thread {names.get(ident, ident)} (most recent call last):\n" + "".join(traceback.format_stack(frames[ident]))
        for ident in (*others, waiting)
        if ident in frames
    ]
    return "".join(parts) + _stacks.tasks()
