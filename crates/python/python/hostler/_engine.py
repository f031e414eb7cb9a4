"""Event loops: our own, and others that our engine runs beside (--loop asyncio, --loop uvloop)."""

import asyncio

from _hostler_eventloop import Engine
from hostler import _log

log = _log.logger("hostler.loop")

# How late the engine's timers (timeouts, heartbeats) may fire.
TICK_SECONDS = 0.01


def make(name, is_first):
    """The loop `name` and the engine that drives connections on it; our own loop is its own engine."""
    if name == "asyncio":
        return asyncio.SelectorEventLoop(), Engine()
    if name == "uvloop":
        try:
            import uvloop
        except ImportError as error:
            # Logged once, by the first worker.
            if is_first:
                log.warning("--loop uvloop: hostler's own event loop is used instead (%s)", error)
        else:
            return uvloop.new_event_loop(), Engine()
    from hostler._loop import EventLoop

    loop = EventLoop()
    return loop, loop


def begin(loop, engine):
    """Has a foreign loop drive connections; their requests inherit the current context."""
    if engine is loop:
        return
    loop.add_reader(engine.fileno(), engine.turn)

    def tick():
        engine.turn()
        loop.call_later(TICK_SECONDS, tick)

    loop.call_soon(tick)
