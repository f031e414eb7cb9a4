"""A worker on the Python side: loads the application and serves it."""

import asyncio
import contextvars
import os

from hostler import (
    _development,
    _engine,
    _forks,
    _gunicorn,
    _lifespan,
    _load,
    _log,
    _logconfig,
    _preload,
    _shutdown,
    _stacks,
    _warmup,
    _wsgi,
    hooks,
    rsgi,
)

# The serving loop, for processes that the application forks.
loop = None
engine = None


def main(worker):
    """Loads the application and serves it; returns the process's exit code."""
    _stacks.register(worker.stacks_descriptor, worker.stacks_signal)
    os.environ["HOSTLER_TASK_WORKER" if worker.runs_tasks else "HOSTLER_WORKER"] = str(worker.number)
    os.environ["HOSTLER_GENERATION"] = str(worker.generation)
    if worker.failure is not None:
        return _serve_failure(worker, *worker.failure)
    if worker.watches:
        _development.keep_no_racy_bytecode()
    try:
        if _preload.loaded is not None:
            _preload.after_fork()
        if worker.gunicorn_hooks is not None:
            _gunicorn.install(worker.gunicorn_hooks, worker.number, worker.generation)
        hooks._run("after_fork_child")
        app, interface = _preload.loaded or _load.load(
            worker.target,
            worker.factory,
            worker.working_dir,
            worker.python_path,
            worker.interface,
            worker.log_config,
        )
    except _load.LoadError as error:
        return _fail(worker, error.kind, str(error), error.cause, error.hint)
    if worker.log_config is not None:
        _logconfig.take_access(worker)
    shutdown = _shutdown.Shutdown(worker.graceful_timeout)
    try:
        if worker.runs_tasks:
            return _serve_tasks(worker, shutdown)
        if interface == "wsgi":
            return _serve_wsgi(worker, app, shutdown)
        if interface == "rsgi":
            return _serve_rsgi(worker, app, shutdown)
        return _serve_asgi(worker, app, shutdown, lifespan=interface == "asgi")
    finally:
        _forks.exit_if_forked()
        hooks._run_all("worker_exit")
        shutdown.finish()


def _serve_tasks(worker, shutdown):
    from hostler.tasks import _settings

    loop, engine = _make_loop(worker)
    hooks._run("worker_ready")
    failure = _settings.engine().serve(worker, loop, engine, shutdown, _run)
    if failure is not None:
        return _fail(worker, "boot", *failure)
    shutdown.close(loop)
    return 0


def _serve_wsgi(worker, app, shutdown):
    # With one thread requests are callbacks of the loop, which may take long.
    worker.observe(_stacks.register_samples, short_callbacks=False)
    threads = worker.blocking_threads
    pool = _wsgi.start_pool(threads, worker.blocking_threads_idle_timeout) if threads > 1 else None
    if worker.warmup and (failure := _warmup.wsgi(app, worker.warmup)):
        return _warmup_failed(worker, failure)
    hooks._run("worker_ready")
    shutdown.drained = worker.serve_wsgi(app, pool)
    return 0


def _make_loop(worker):
    global loop, engine
    loop, engine = _engine.make(worker.event_loop, is_first=worker.number == 1 and worker.generation == 0)
    asyncio.set_event_loop(loop)
    _stacks.watch(loop)
    worker.observe(_stacks.register_samples, short_callbacks=True)
    return loop, engine


def _serve_rsgi(worker, app, shutdown):
    loop, engine = _make_loop(worker)
    # Requests inherit what `__rsgi_init__` sets in its context.
    context = contextvars.copy_context()
    if hasattr(app, "__rsgi_init__"):
        try:
            context.run(app.__rsgi_init__, loop)
        except Exception as error:
            return _startup_failed(worker, "`__rsgi_init__` failed", error)
    callback = getattr(app, "__rsgi__", app)
    if worker.warmup:
        warm = _warmup.rsgi(callback, worker.warmup)
        if failure := context.copy().run(loop.run_until_complete, warm):
            return _warmup_failed(worker, failure)
    hooks._run("worker_ready")
    done = loop.create_future()
    worker.serve_rsgi(callback, loop, engine, rsgi.errors(), done)
    shutdown.drained = _run(context, loop, engine, done)
    if hasattr(app, "__rsgi_del__"):
        try:
            with shutdown.watch("`__rsgi_del__`"):
                context.run(app.__rsgi_del__, loop)
        except Exception:
            _log.logger("hostler.rsgi").exception("`__rsgi_del__` raised")
    shutdown.close(loop)
    return 0


def _serve_asgi(worker, app, shutdown, lifespan):
    loop, engine = _make_loop(worker)
    lifecycle = _lifespan.Lifespan(app, loop)
    if lifespan:
        try:
            loop.run_until_complete(lifecycle.startup())
        except _lifespan.Failed as error:
            hint = "correct what it reports; --interface asginl serves the application without its lifespan"
            return _startup_failed(worker, "the application's lifespan startup failed", error.cause, str(error), hint)
    state = lifecycle.state if lifecycle.supported else None
    if worker.warmup:
        warm = _warmup.asgi(app, worker.warmup, state)
        if failure := lifecycle.context.copy().run(loop.run_until_complete, warm):
            return _warmup_failed(worker, failure)
    hooks._run("worker_ready")
    done = loop.create_future()
    worker.serve_asgi(app, loop, engine, state, done)
    shutdown.drained = _run(lifecycle.context, loop, engine, done)
    with shutdown.watch("the application's lifespan"):
        loop.run_until_complete(lifecycle.shutdown())
    shutdown.close(loop)
    return 0


def _run(context, loop, engine, done):
    """Serves until `done`. Requests' tasks copy the context that is current meanwhile, a copy of this one."""
    context = context.copy()
    context.run(_engine.begin, loop, engine)
    return context.run(loop.run_until_complete, _service(done))


async def _service(done):
    """The loop's main task: anyio ties its threads to it and so keeps them from one request to the next."""
    return await done


def _warmup_failed(worker, failure):
    return _fail(
        worker,
        "boot",
        f"the warm-up request `{worker.warmup}` failed",
        failure,
        "--warmup names a path that the application answers with a status below 500",
    )


def _startup_failed(worker, message, error, cause="", hint=None):
    if error is not None:
        cause = _log.traceback_of(error)
    return _fail(worker, "boot", message, cause.rstrip(), hint)


def _fail(worker, kind, message, cause=None, hint=None):
    """Tells why the application cannot be served: to the master, or to a developer's clients as well."""
    if not worker.is_development:
        return worker.fail(kind, message, cause, hint)
    worker.tell_failure(kind, message, cause, hint)
    return _serve_failure(worker, message, cause, hint)


def _serve_failure(worker, message, cause, hint):
    """Serves why there is no application, until the worker is told to stop."""
    if loop is None:
        _make_loop(worker)
    shutdown = _shutdown.Shutdown(worker.graceful_timeout)
    done = loop.create_future()
    worker.serve_asgi(_development.application(message, cause, hint), loop, engine, None, done)
    shutdown.drained = _run(contextvars.copy_context(), loop, engine, done)
    shutdown.close(loop)
    return 0
