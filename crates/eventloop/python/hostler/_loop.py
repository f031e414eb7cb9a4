"""The asyncio event loop: CPython's selector loop over the core in Rust.

The core owns the ready queue, the timers, the wait and the transports of stream sockets. Everything else, from
datagrams to subprocesses, is CPython's own code, which reaches the queue through `_ready` and the selector.

In debug mode callbacks are CPython's own handles, which record where they were created.
"""

import asyncio
import selectors
import sys
import threading
import warnings
from asyncio import base_events, constants, events, format_helpers, sslproto, transports, trsock
from asyncio.log import logger

from _hostler_eventloop import LoopCore, SocketTransport, is_forked as _is_forked

# Servers count their transports; since CPython 3.13 they keep them too.
_SERVERS_KEEP_TRANSPORTS = base_events.Server._attach.__code__.co_argcount > 1

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


class _Interface(transports._FlowControlMixin, asyncio.Transport):
    """The class that a transport claims to be an instance of."""


class _Transport(SocketTransport):
    """The transport of a connected stream socket: what runs once per connection, or when something fails."""

    __slots__ = ()

    _start_tls_compatible = True
    _sendfile_compatible = constants._SendfileMode.TRY_NATIVE

    # asyncio's classes have slots of their own, so that no class can have them and Rust's for bases.
    # This makes `isinstance(transport, asyncio.Transport)` true.
    __class__ = property(lambda self: _Interface)

    def _attach(self, waiter):
        base_events._set_nodelay(self._sock)
        if self._server is not None:
            self._server._attach(*self._for_server())
        self._loop._transports[self._sock_fd] = self
        self._start(waiter)

    def _for_server(self):
        return (self,) if _SERVERS_KEEP_TRANSPORTS else ()

    def _release(self):
        try:
            self._sock.close()
        finally:
            if self._server is not None:
                self._server._detach(*self._for_server())

    def _fatal_error(self, exception, message="Fatal error on transport"):
        # Broken connections are normal: logged in debug mode only.
        if not isinstance(exception, OSError):
            self._report(message, exception)
        elif self._loop is not None and self._loop.get_debug():
            logger.debug("%r: %s", self, message, exc_info=exception)
        self._force_close(exception)

    def _report(self, message, exception):
        if self._loop is not None:
            self._loop.call_exception_handler(
                {
                    "message": message,
                    "exception": exception,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )

    def _warn_lost(self):
        logger.warning("socket.send() raised exception.")

    def _tell(self, waiter):
        if not waiter.done():
            waiter.set_result(None)

    def __repr__(self):
        info = ["SocketTransport"]
        if self._sock is None:
            info.append("closed")
        elif self.is_closing():
            info.append("closing")
        info.append(f"fd={self._sock_fd}")
        if self._loop is not None and not self._loop.is_closed():
            size = self.get_write_buffer_size()
            info.append("read=polling" if self.is_reading() else "read=idle")
            info.append(f"write=<{'polling' if size else 'idle'}, bufsize={size}>")
        return f"<{' '.join(info)}>"

    def __del__(self, _warn=warnings.warn):
        if self._sock is None:
            return
        _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
        self._unwatch()
        self._release()


def _about(sock, extra):
    """What `get_extra_info` returns for a socket."""
    about = {"socket": trsock.TransportSocket(sock), "sockname": None, **(extra or {})}
    try:
        about["sockname"] = sock.getsockname()
    except OSError:
        pass
    if "peername" not in about:
        try:
            about["peername"] = sock.getpeername()
        except OSError:
            about["peername"] = None
    return about


class EventLoop(LoopCore, _SelectorEventLoop):
    """An asyncio event loop whose wait is a tokio runtime."""

    def __new__(cls, *_args):
        if _is_forked() or (cls._is_inside() and events._get_running_loop() is None):
            # A process that the application forked, or a call from a task of the runtime outside any asyncio loop. tokio
            # runs one runtime per thread, so this gets CPython's loop.
            return _SelectorEventLoop()
        return LoopCore.__new__(cls)

    def __init__(self):
        _SelectorEventLoop.__init__(self, selectors.EpollSelector())
        self._ready = _Ready(self)
        # CPython's constructor set `_debug` before the core could see it.
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

    def _make_socket_transport(self, sock, protocol, waiter=None, *, extra=None, server=None):
        self._ensure_fd_no_transport(sock)
        try:
            transport = _Transport(self, sock, sock.fileno(), protocol, _about(sock, extra), server)
        except RuntimeError:  # The loop does not run, so there is nothing that could watch the socket.
            return super()._make_socket_transport(sock, protocol, waiter, extra=extra, server=server)
        transport._attach(waiter)
        return transport

    def _make_ssl_transport(
        self,
        rawsock,
        protocol,
        sslcontext,
        waiter=None,
        *,
        server_side=False,
        server_hostname=None,
        extra=None,
        server=None,
        **timeouts,
    ):
        ssl_protocol = sslproto.SSLProtocol(
            self, protocol, sslcontext, waiter, server_side, server_hostname, **timeouts
        )
        self._make_socket_transport(rawsock, ssl_protocol, extra=extra, server=server)
        return ssl_protocol._app_transport

    # What the core calls.

    def _selector_fileno(self):
        return self._selector.fileno()

    def _poll_selector(self):
        """Queues the callbacks of ready descriptors; returns whether there were any."""
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
