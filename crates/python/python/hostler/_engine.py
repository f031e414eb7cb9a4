"""Loops: our own, and others with our engine beside them (--loop asyncio, --loop uvloop)."""

import asyncio

from _hostler_eventloop import Engine
from hostler import _log

log = _log.logger("hostler.loop")

# The engine's timers are timeouts and heartbeats; this is how late they may ring, in seconds.
TICK = 0.01


def make(name, is_first):
    """A loop by its name, and what drives connections on it; the loop itself if it is ours."""
    if name == "asyncio":
        return asyncio.SelectorEventLoop(), Engine()
    if name == "uvloop":
        try:
            import uvloop
        except ImportError as error:
            # One worker tells for all.
            if is_first:
                log.warning("--loop uvloop: hostler's own event loop is used instead (%s)", error)
        else:
            return uvloop.new_event_loop(), Engine()
    from hostler._loop import EventLoop

    loop = EventLoop()
    return loop, loop


def begin(loop, engine):
    """Has a loop that is not ours drive connections, whose requests inherit the present context."""
    if engine is loop:
        return
    loop.add_reader(engine.fileno(), engine.turn)

    def tick():
        engine.turn()
        loop.call_later(TICK, tick)

    loop.call_soon(tick)
