"""The asyncio event loop of a worker: CPython's selector loop over hostler's core.

The core (Rust) owns the ready queue, the timers and the wait. Everything else, from transports to
subprocesses, is CPython's own code, which reaches the queue through `_ready` and the selector.
"""

import asyncio
import selectors
import sys
import threading
from asyncio import events

from _hostler import LoopCore


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


class EventLoop(LoopCore, asyncio.SelectorEventLoop):
    """An asyncio event loop whose wait serves HTTP connections."""

    def __init__(self):
        asyncio.SelectorEventLoop.__init__(self, selectors.EpollSelector())
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
            self._run()
        finally:
            self._thread_id = None
            events._set_running_loop(None)
            self._set_coroutine_origin_tracking(False)
            sys.set_asyncgen_hooks(*hooks)

    def close(self):
        if self.is_closed():
            return
        asyncio.SelectorEventLoop.close(self)
        self._close_core()

    def set_debug(self, enabled):
        asyncio.SelectorEventLoop.set_debug(self, enabled)
        self._set_core_debug(bool(enabled))

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
        self.call_exception_handler(
            {"message": f"Exception in callback {handle!r}", "exception": exception, "handle": handle}
        )

    def _debug_check(self, callback, method):
        self._check_thread()
        self._check_callback(callback, method)

    def _debug_call_soon(self, callback, args, context):
        return asyncio.SelectorEventLoop.call_soon(self, callback, *args, context=context)
