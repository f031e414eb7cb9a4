"""The asyncio event loop of a worker: CPython's selector loop over hostler's core.

The core (Rust) owns the ready queue, the timers and the wait. Everything else, from transports to
subprocesses, is CPython's own code, which reaches the queue through `_ready` and the selector.

In debug mode callbacks wait as CPython's own handles, which know where they were made.
"""

import asyncio
import selectors
import sys
import threading
from asyncio import base_events, events, format_helpers

from _hostler import LoopCore

# Kept, because programs may replace what `asyncio.SelectorEventLoop` is.
_SelectorEventLoop = asyncio.SelectorEventLoop


class _Ready:
    """What CPython's loop sees as its deque of ready handles."""

    __slots__ = ("_core",)

    def __init__(self, core):
        self._core = core

    def append(self, handle):
        self._core._append(handle)

    def clear(self):
        pass

    def __len__(self):
        return self._core._pending()


class EventLoop(LoopCore, _SelectorEventLoop):
    """An asyncio event loop whose wait serves HTTP connections."""

    def __new__(cls, *_args):
        if cls._is_inside() and events._get_running_loop() is None:
            # Forked by a callback. What ran there still counts as running on this thread, for tokio: it cannot
            # run a second loop, so this process gets CPython's.
            return _SelectorEventLoop()
        return LoopCore.__new__(cls)

    def __init__(self):
        _SelectorEventLoop.__init__(self, selectors.EpollSelector())
        self._ready = _Ready(self)
        # Made before `_ready` was ours: the self-pipe's reader is registered with the selector already.
        self._set_core_debug(self._debug)

    def run_forever(self):
        self._check_closed()
        self._check_running()
        self._set_coroutine_origin_tracking(self._debug)
        self._thread_id = threading.get_ident()
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(
            firstiter=self._asyncgen_firstiter_hook, finalizer=self._asyncgen_finalizer_hook
        )
        events._set_running_loop(self)
        try:
            # As asyncio's loop, which looks at descriptors before its first turn, also if it is to stop then.
            self._poll_selector()
            self._run()
        finally:
            self._thread_id = None
            events._set_running_loop(None)
            self._set_coroutine_origin_tracking(False)
            sys.set_asyncgen_hooks(*hooks)

    def close(self):
        if self.is_closed():
            return
        _SelectorEventLoop.close(self)
        self._close_core()

    def set_debug(self, enabled):
        # First, because the next line may schedule something.
        self._set_core_debug(bool(enabled))
        _SelectorEventLoop.set_debug(self, enabled)

    # What the core calls.

    def _selector_fileno(self):
        return self._selector.fileno()

    def _poll_selector(self):
        """Queues the callbacks of ready descriptors; tells whether there were any."""
        ready = self._selector.select(0)
        if ready:
            self._process_events(ready)
        return bool(ready)

    def _callback_failed(self, handle, exception):
        callback = format_helpers._format_callback_source(handle._callback, handle._args)
        self.call_exception_handler(
            {"message": f"Exception in callback {callback}", "exception": exception, "handle": handle}
        )

    # What the core calls in debug mode. The last entry of a handle's traceback is the frame below.

    def _debug_call_soon(self, callback, args, context):
        return _without_us(_SelectorEventLoop.call_soon(self, callback, *args, context=context))

    def _debug_call_soon_threadsafe(self, callback, args, context):
        return _without_us(_SelectorEventLoop.call_soon_threadsafe(self, callback, *args, context=context))

    def _debug_timer(self, when, callback, args, context):
        self._check_thread()
        self._check_callback(callback, "call_at")
        return _without_us(events.TimerHandle(when, callback, args, self, context))

    def _debug_run(self, handle):
        """Runs one of CPython's handles, and complains if it took long."""
        if handle._cancelled:
            return
        self._current_handle = handle
        began = self.time()
        try:
            handle._run()
            took = self.time() - began
            if took >= self.slow_callback_duration:
                named = base_events._format_handle(handle)
                base_events.logger.warning("Executing %s took %.3f seconds", named, took)
        finally:
            # This frame may live on in the traceback of what the callback raised.
            self._current_handle = handle = None


def _without_us(handle):
    if handle._source_traceback:
        del handle._source_traceback[-1]
    return handle
