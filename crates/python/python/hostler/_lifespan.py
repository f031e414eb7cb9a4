"""The ASGI lifespan of a worker (asgiref "Lifespan Protocol" 2.0)."""

import asyncio
import contextvars

from hostler import _log

log = _log.logger("hostler.lifespan")


class Failed(Exception):
    """The application reported a failure at startup, or raised."""

    def __init__(self, message, cause=None):
        super().__init__(message)
        self.cause = cause


class Lifespan:
    """Runs the application's lifespan in its own task, in a context that requests inherit."""

    def __init__(self, app, loop):
        self._app = app
        self._loop = loop
        self._inbox = asyncio.Queue()
        self._started = loop.create_future()
        self._stopped = loop.create_future()
        self._received_startup = False
        self._task = None
        self.context = contextvars.copy_context()
        self.state = {}
        self.supported = False

    async def startup(self):
        """Waits for the application to be ready; raises Failed. An application without lifespan is ready."""
        self._inbox.put_nowait({"type": "lifespan.startup"})
        # `context=` of create_task came with Python 3.11.
        self._task = self.context.run(self._loop.create_task, self._run())
        await self._started

    async def shutdown(self):
        """Tells the application that the worker exits, and waits until it is ready."""
        if not self.supported or self._task.done():
            return
        self._inbox.put_nowait({"type": "lifespan.shutdown"})
        await self._stopped

    async def _run(self):
        # The application's own changes to the context are made here, in this task's context.
        self.context = contextvars.copy_context()
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._receive, self._send)
        except BaseException as error:
            self._ended(error)
            if not isinstance(error, Exception):
                raise
        else:
            self._ended(None)

    def _ended(self, error):
        if not self._started.done():
            if error is not None and self._received_startup and not isinstance(error, _Unsupported):
                self._started.set_exception(Failed("the application raised during its lifespan startup", error))
            else:
                if error is not None and not isinstance(error, _NO_LIFESPAN):
                    log.warning(
                        "the application is served without its lifespan: it raised before it took the startup event",
                        exc_info=error,
                    )
                self._started.set_result(None)
        elif not self._stopped.done():
            if error is not None and self.supported:
                log.error("the application raised in its lifespan", exc_info=error)
            self._stopped.set_result(None)

    async def _receive(self):
        event = await self._inbox.get()
        if event["type"] == "lifespan.startup":
            self._received_startup = True
        return event

    async def _send(self, event):
        kind = event["type"]
        if kind == "lifespan.startup.complete" and not self._started.done():
            self.supported = True
            self.context = contextvars.copy_context()
            self._started.set_result(None)
        elif kind == "lifespan.startup.failed" and not self._started.done():
            message = event.get("message") or "no reason given"
            self._started.set_exception(Failed(f"the application reported: {message}"))
        elif kind in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            if kind.endswith("failed"):
                log.error("the application reported a failed shutdown: %s", event.get("message", ""))
            if not self._stopped.done():
                self._stopped.set_result(None)
        else:
            raise _Unsupported(f"{kind!r} is not an event of the lifespan")


class _Unsupported(RuntimeError):
    """The application took the lifespan for something else, such as a request."""


# What applications without lifespan support raise, most often because they look up keys that only requests have.
_NO_LIFESPAN = (AssertionError, KeyError, NotImplementedError, RuntimeError, ValueError)
