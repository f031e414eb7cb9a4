"""Functions that are tasks."""

from __future__ import annotations

import datetime
import functools
import inspect
import logging
import os
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, overload

from hostler.tasks import _coding, _cron, _options, _settings
from hostler.tasks._errors import ArgumentsTooLarge
from hostler.tasks._handle import Handle
from hostler.tasks._options import Backoff, Duration

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("hostler.tasks")

#: All tasks of this program by their names.
registry: dict[str, Task[Any, Any]] = {}
#: What the clock enqueues.
schedules: dict[str, dict[str, Any]] = {}


class Task(Generic[P, R]):
    """A function that runs later, elsewhere. Called, it is the function: `t(...)` runs it here and now."""

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str,
        queue: str,
        priority: int,
        options: dict[str, Any],
        serializer: str,
        key: str | None = None,
        schedule: dict[str, Any] | None = None,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name
        self.queue = queue
        self.priority = priority
        self.serializer = serializer
        self._options = options
        self.is_asynchronous = inspect.iscoroutinefunction(function)
        self._signature = inspect.signature(function)
        #: What `with_options` has set.
        self._when: dict[str, Any] = schedule or {}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Enqueues it with these arguments; it is on disk when this returns. In an event loop, use `delay_async`."""
        return self._send(args, kwargs, self._when)

    async def delay_async(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        return await self._send_async(args, kwargs, self._when)

    def enqueue(
        self,
        *args: Any,
        countdown: Duration | None = None,
        eta: datetime.datetime | float | None = None,
        expires: Duration | datetime.datetime | None = None,
        key: str | None = None,
        priority: int | None = None,
        queue: str | None = None,
        **kwargs: Any,
    ) -> Handle[R]:
        """Enqueues it: after `countdown` or at `eta`, unless it `expires` before; with a `key` there is one such task at a time, and
        the handle is that one's. A function with parameters of these names takes them by `with_options(...).delay(...)`.
        """
        return self._send(args, kwargs, _when(self._when, countdown, eta, expires, key, priority, queue))

    async def enqueue_async(
        self,
        *args: Any,
        countdown: Duration | None = None,
        eta: datetime.datetime | float | None = None,
        expires: Duration | datetime.datetime | None = None,
        key: str | None = None,
        priority: int | None = None,
        queue: str | None = None,
        **kwargs: Any,
    ) -> Handle[R]:
        """As `enqueue`, without blocking the loop."""
        return await self._send_async(args, kwargs, _when(self._when, countdown, eta, expires, key, priority, queue))

    def with_options(
        self,
        *,
        countdown: Duration | None = None,
        eta: datetime.datetime | float | None = None,
        expires: Duration | datetime.datetime | None = None,
        key: str | None = None,
        priority: int | None = None,
        queue: str | None = None,
    ) -> Task[P, R]:
        """The same task, whose `delay` has these options. `countdown` counts from each `delay`."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy._when = {**self._when, **_given(countdown, eta, expires, key, priority, queue)}
        return copy

    def _send(self, args: tuple[Any, ...], kwargs: dict[str, Any], when: dict[str, Any]) -> Handle[R]:
        engine = _settings.engine()
        return Handle(engine.enqueue(self, *self._message(args, kwargs, when)), engine)

    async def _send_async(self, args: tuple[Any, ...], kwargs: dict[str, Any], when: dict[str, Any]) -> Handle[R]:
        engine = _settings.engine()
        return Handle(await engine.enqueue_async(self, *self._message(args, kwargs, when)), engine)

    def _message(self, args: tuple[Any, ...], kwargs: dict[str, Any], when: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        # As a call would refuse them: now, and not in a worker.
        self._signature.bind(*args, **kwargs)
        arguments = _coding.arguments(args, kwargs, self.serializer, self.name)
        if len(arguments) > _settings.max_arguments:
            raise ArgumentsTooLarge(
                f"the arguments of {self.name} have {len(arguments)} bytes, and {_settings.max_arguments} are the most: "
                "pass the name of a file or an id instead of the contents"
            )
        now = time.time()
        task: dict[str, Any] = {"id": new_id(now), "name": self.name, "queue": self.queue, "priority": self.priority, "options": self._options}
        if when:
            task.update(_times(when, now))
        return task, arguments


def _given(*values: Any) -> dict[str, Any]:
    names = ("countdown", "eta", "expires", "key", "priority", "queue")
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _when(before: dict[str, Any], *values: Any) -> dict[str, Any]:
    given = _given(*values)
    return {**before, **given} if given else before


def _times(when: dict[str, Any], now: float) -> dict[str, Any]:
    task: dict[str, Any] = {}
    if "countdown" in when:
        task["due"] = int(now * 1000) + _options.millis(when["countdown"], "countdown")
    if "eta" in when:
        task["due"] = _options.moment(when["eta"], "eta")
    if "expires" in when:
        expires = when["expires"]
        is_moment = isinstance(expires, datetime.datetime)
        task["expires"] = _options.moment(expires, "expires") if is_moment else int(now * 1000) + _options.millis(expires, "expires")
    if "key" in when:
        task["key"] = _options.text(when["key"], "key")
    if "queue" in when:
        task["queue"] = _options.name(when["queue"], "queue")
    if "priority" in when:
        task["priority"] = _options.priority(when["priority"])
    return task


def new_id(now: float) -> str:
    """A UUID of version 7 (RFC 9562, 5.7): ids of one time are neighbours in the file."""
    random = int.from_bytes(os.urandom(10), "big")
    number = (int(now * 1000) << 80) | random
    number = number & ~(0xF << 76) & ~(0x3 << 62) | (0x7 << 76) | (0x2 << 62)
    return str(uuid.UUID(int=number))


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    name: str | None = ...,
    queue: str = ...,
    retries: int = ...,
    backoff: Backoff | Duration | None = ...,
    timeout: Duration | None = ...,
    priority: int = ...,
    rate: str | None = ...,
    result_ttl: Duration = ...,
    serializer: str = ...,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    queue: str = "default",
    retries: int = 0,
    backoff: Backoff | Duration | None = None,
    timeout: Duration | None = None,
    priority: int = 0,
    rate: str | None = None,
    result_ttl: Duration = "1d",
    serializer: str = "json",
) -> Any:
    """Makes a function, also an `async def`, a task.

    `retries` after errors, with `backoff` between them (a number of seconds, or a Backoff); `timeout` in seconds or as `"5m"`;
    higher `priority` first; at most `rate` starts, such as `"10/s"`; the result is kept for `result_ttl`; arguments and result are
    written as JSON, or by `serializer="pickle"`.
    """
    if serializer not in _coding.CODINGS:
        raise ValueError(f"serializer={serializer!r} is neither 'json' nor 'pickle'")
    queue, priority = _options.name(queue, "queue"), _options.priority(priority)
    if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= 1_000_000:
        raise ValueError(f"retries={retries!r} is no number from 0 to 1,000,000")
    options: dict[str, Any] = {
        "retries": retries,
        "backoff": _options.backoff(backoff)._travels(),
        "timeout": 0 if timeout is None else _options.millis(timeout, "timeout"),
        "keep": _options.millis(result_ttl, "result_ttl"),
    }
    if (limit := _options.rate(rate)) is not None:
        options["rate"] = limit
    if serializer != _coding.JSON:
        options["coding"] = serializer

    def make(function: Callable[..., Any]) -> Task[..., Any]:
        made: Task[..., Any] = Task(
            function, name=_options.name(name or _name(function), "name"), queue=queue, priority=priority, options=options, serializer=serializer
        )
        _register(made)
        _settings.declared(made)
        return made

    return make if function is None else make(function)


def _register(made: Task[..., Any]) -> None:
    """Another function of the same name is replaced; one of the same place is the module that is imported again."""
    before = registry.get(made.name)
    places = [_place(it.function) for it in (before, made) if it is not None]
    if len(set(places)) > 1:
        logger.warning("two tasks have the name %s, and the last one runs: %s", made.name, ", ".join(places))
    registry[made.name] = made


def _place(function: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return repr(function) if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def cron(expression: str, *, timezone: str = "UTC", **options: Any) -> Callable[[Callable[[], R]], Task[[], R]]:
    """Makes a function without arguments a task that the clock enqueues, once at each tick for the whole site: `"*/5 * * * *"`, with
    seconds first if there are six fields. Ticks at which no server ran are one when it runs again. `options` are those of `task`.
    """
    _cron.check(expression, timezone)

    def make(function: Callable[[], R]) -> Task[[], R]:
        try:
            inspect.signature(function).bind()
        except TypeError as error:
            raise TypeError(f"the clock calls {function.__qualname__} without arguments: {error}") from None
        made: Task[[], R] = task(**options)(function)
        schedules[made.name] = {
            "name": made.name,
            "expression": expression,
            "zone": timezone,
            "task": made.name,
            "queue": made.queue,
            "priority": made.priority,
            "options": made._options,
        }
        _settings.declared(made, schedules[made.name])
        return made

    return make


def _name(function: Callable[..., Any]) -> str:
    return f"{module_of(function)}.{function.__qualname__}"


def module_of(function: Callable[..., Any]) -> str:
    """The module that declares it, as other processes import it."""
    module = function.__module__
    if module != "__main__":
        return module
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    file = getattr(main, "__file__", None)
    if spec is not None:
        return str(spec.name).removesuffix(".__main__")
    return os.path.splitext(os.path.basename(file))[0] if file else module
