"""A worker's life on the Python side."""

import asyncio
import atexit
import sys
import traceback

from hostler import _lifespan, _load, _wsgi


def main(seat):
    """Loads the application and serves it; returns the process's exit code."""
    try:
        app, interface = _load.load(seat.target, seat.factory, seat.working_dir, seat.interface)
    except _load.LoadError as error:
        return seat.fail(error.kind, str(error), error.cause, error.hint)
    try:
        if interface == "wsgi":
            return _serve_wsgi(seat, app)
        return _serve_asgi(seat, app, lifespan=interface == "asgi")
    finally:
        _leave()


def _serve_wsgi(seat, app):
    threads = seat.blocking_threads
    seat.serve_wsgi(app, _wsgi.start_pool(threads) if threads > 1 else None)
    return 0


def _serve_asgi(seat, app, lifespan):
    from hostler._loop import EventLoop

    loop = EventLoop()
    asyncio.set_event_loop(loop)
    life = _lifespan.Lifespan(app, loop)
    if lifespan:
        try:
            loop.run_until_complete(life.startup())
        except _lifespan.Failed as error:
            return _startup_failed(seat, error)
    done = loop.create_future()
    seat.serve_asgi(app, loop, life.state if life.supported else None, done)
    # Requests' tasks copy the context that is current while the loop waits: the lifespan's.
    life.context.copy().run(loop.run_until_complete, done)
    loop.run_until_complete(life.shutdown())
    _close(loop)
    return 0


def _startup_failed(seat, error):
    cause = str(error)
    if error.cause is not None:
        cause = "".join(traceback.format_exception(type(error.cause), error.cause, error.cause.__traceback__))
    return seat.fail(
        "boot",
        "the application's lifespan startup failed",
        cause.rstrip(),
        "correct what it reports; --interface asginl serves the application without its lifespan",
    )


def _close(loop):
    """Ends what the application left running, as asyncio.run does."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=1))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def _leave():
    """What Python would do at its end; the process leaves by _exit, because other threads may still run."""
    try:
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass
