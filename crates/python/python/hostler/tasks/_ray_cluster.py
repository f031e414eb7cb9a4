"""A Ray cluster that this process has joined."""

from __future__ import annotations

import os
import socket
from concurrent.futures import Future
from typing import Any

from hostler.tasks._errors import QueueUnavailable

#: How long a connection to the cluster's head may take.
_CONNECTS = 3.0


class Cluster:
    """The cluster at an address, as Ray has it: `auto` or HOST:PORT. Raises QueueUnavailable."""

    def __init__(self, address: str) -> None:
        if address == "auto":
            address = os.environ.get("RAY_ADDRESS") or "auto"
        if "://" in address:
            raise QueueUnavailable(
                f"{address} is for Ray's client, which is not supported: make this machine one of the cluster "
                "(`ray start --address HOST:6379 --num-cpus 0`), and take `auto`"
            )
        head = _place(address)
        if head is not None and (why := _refuses(head)) is not None:
            raise QueueUnavailable(f"there is no Ray cluster at {address}: {why}. `ray start --head` starts one")
        try:
            import ray
        except ImportError as error:
            raise QueueUnavailable(f"--task-engine ray needs Ray, in this Python: pip install ray ({error})") from error
        try:
            ray.init(address, namespace="hostler", log_to_driver=False, configure_logging=False)
        except Exception as error:
            if "InvalidAuthToken" in f"{error} {error.__cause__}":
                raise QueueUnavailable(f"the Ray cluster {address} refuses our token: RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH have to be its own") from None
            if isinstance(error, ConnectionError):
                raise QueueUnavailable(f"there is no Ray cluster at {address}: `ray start --head` starts one ({error})") from error
            raise QueueUnavailable(f"the Ray cluster {address} cannot be joined: {type(error).__name__}: {error}") from error
        self._head = head or _place(str(ray.get_runtime_context().gcs_address))
        self._find()

    @classmethod
    def inside(cls) -> Cluster:
        """That of a worker of Ray's."""
        self = object.__new__(cls)
        self.is_lost = False
        self._head = None
        self._find()
        return self

    def _find(self) -> None:
        from hostler.tasks._ray_keeper import keeper

        try:
            self._keeper = keeper()
        except Exception as error:
            raise QueueUnavailable(f"the Ray cluster cannot keep tasks: {type(error).__name__}: {error}") from error

    async def call(self, method: str, *args: Any) -> Any:
        from ray.exceptions import ActorDiedError

        try:
            return await getattr(self._keeper, method).remote(*args)
        except ActorDiedError:
            # Ended by `ray kill`, or by hand: another one finds what it has kept.
            self._find()
            return await getattr(self._keeper, method).remote(*args)

    def ask(self, method: str, *args: Any) -> Future[Any]:
        future: Future[Any] = getattr(self._keeper, method).remote(*args).future()
        return future

    def close(self) -> None:
        """Whoever asks next finds the keeper again."""
        self.is_lost = True

    def gone(self) -> str | None:
        """Why the cluster is not there any more, if so."""
        return None if self._head is None else _refuses(self._head)


def _place(address: str) -> tuple[str, int] | None:
    host, _, port = address.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdigit() else None


def _refuses(head: tuple[str, int]) -> str | None:
    """Why nobody can be reached there. Who is slow may be there."""
    try:
        socket.create_connection(head, _CONNECTS).close()
    except TimeoutError:
        return None
    except OSError as error:
        return f"{head[0]}:{head[1]} cannot be reached ({error.strerror or error})"
    return None
