"""Sending tasks to Celery's broker, each in a bounded time."""

from __future__ import annotations

import threading
from typing import Any

from hostler.tasks._errors import QueueUnavailable

#: How long the broker may take to connect and to answer.
PATIENCE = 5.0
#: A connection is tried so many times, for one that has gone unnoticed and for a broker that is being started.
_TRIES = 2


class Publisher:
    """A connection for each thread that uses it; kombu's own pools try for ever where a broker is down."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._mine = threading.local()
        described = app.connection_for_write()
        #: RabbitMQ; otherwise Redis.
        self.is_amqp = described.transport.driver_type == "amqp"
        #: Without a password.
        self.shown = str(described.as_uri())

    def send(self, name: str, id: str, args: Any, kwargs: Any, *, queue: str | None, **options: Any) -> None:
        """Returns when the broker has it. Raises QueueUnavailable."""
        amqp = self._app.amqp
        timed = {name: options.pop(name) for name in ("eta", "expires", "retries", "soft_time_limit", "time_limit") if name in options}
        routed = amqp.router.route({"queue": queue} if queue else {}, name, args, kwargs)
        message = amqp.create_task_message(id, name, args, kwargs, **timed)
        for tried in range(_TRIES):
            try:
                producer = self._producer()
                sent = dict(routed, serializer="json", retry=False, **options)
                amqp.send_task_message(producer, name, message, **sent)
                return
            except Exception as error:
                self._drop()
                if tried + 1 == _TRIES:
                    raise QueueUnavailable(f"the broker of tasks, {self.shown}, does not take task {name}: {error}") from error

    def tell(self, command: str, arguments: dict[str, Any]) -> None:
        """Says a command to all workers."""
        try:
            self._producer()
            self._app.control.broadcast(command, arguments=arguments, connection=self._mine.connection)
        except Exception as error:
            self._drop()
            raise QueueUnavailable(f"the broker of tasks, {self.shown}, cannot be reached: {error}") from error

    def _producer(self) -> Any:
        producer = getattr(self._mine, "producer", None)
        if producer is None:
            limits = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "connect_retries_timeout": PATIENCE}
            sockets = {"socket_connect_timeout": PATIENCE, "socket_timeout": PATIENCE}
            confirmed = {"confirm_publish": True, "read_timeout": PATIENCE, "write_timeout": PATIENCE} if self.is_amqp else sockets
            options = {**limits, **confirmed}
            # Nobody would answer heartbeats between two tasks.
            connection = self._app.connection_for_write(heartbeat=0, connect_timeout=PATIENCE, transport_options=options)
            self._mine.connection = connection
            producer = self._mine.producer = self._app.amqp.Producer(connection, auto_declare=False)
        return producer

    def _drop(self) -> None:
        connection = getattr(self._mine, "connection", None)
        self._mine.connection = self._mine.producer = None
        if connection is not None:
            try:
                connection.release()
            except Exception:
                # It is broken.
                pass
