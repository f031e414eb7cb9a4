"""Waiting for results: one thread of a process listens to Redis for all who wait there, in threads and in event loops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

#: How long the thread stays for the next who waits.
_LINGERS = 30.0
#: The pause before connecting again.
_PAUSE = 0.2


class Listener:
    def __init__(self, client: Any) -> None:
        self._client = client
        self._changed = threading.Condition()
        #: Who is to be told of a channel; and the channels that Redis has confirmed.
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._confirmed: set[str] = set()
        self._pubsub: Any = None
        self._runs = False

    def watch(self, channel: str, notify: Callable[[], None]) -> None:
        """Calls `notify` when nothing said from now on is missed, and whenever something may be new: who is told looks. Raises
        what redis-py raises."""
        with self._changed:
            first = channel not in self._waiting
            self._waiting.setdefault(channel, []).append(notify)
            if channel in self._confirmed:
                notify()
            elif first and self._pubsub is not None:
                self._say(self._pubsub.subscribe, channel)
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, name="hostler-tasks-listener", daemon=True).start()
            self._changed.notify_all()

    def forget(self, channel: str, notify: Callable[[], None]) -> None:
        with self._changed:
            waiting = self._waiting[channel]
            waiting.remove(notify)
            if waiting:
                return
            del self._waiting[channel]
            self._confirmed.discard(channel)
            if self._pubsub is not None:
                self._say(self._pubsub.unsubscribe, channel)

    def _say(self, what: Callable[[str], Any], channel: str) -> None:
        try:
            what(channel)
        except Exception:
            # The thread sees it as well, and connects again.
            pass

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._waiting and not self._changed.wait_for(lambda: self._waiting, _LINGERS):
                    self._runs = False
                    self._close()
                    return
            try:
                self._listen()
            except Exception:
                with self._changed:
                    self._close()
                    # They look themselves, and say that it is not there.
                    self._tell(list(self._waiting))
                time.sleep(_PAUSE)

    def _listen(self) -> None:
        pubsub = self._pubsub
        if pubsub is None:
            pubsub = self._client.pubsub()
            with self._changed:
                wanted = list(self._waiting)
                if not wanted:
                    return
                pubsub.subscribe(*wanted)
                self._pubsub = pubsub
        message = pubsub.get_message(timeout=1.0)
        if message is None:
            return
        channel = message["channel"]
        channel = channel.decode() if isinstance(channel, bytes) else channel
        with self._changed:
            if message["type"] == "subscribe" and channel in self._waiting:
                self._confirmed.add(channel)
            if message["type"] in ("subscribe", "message"):
                self._tell([channel])

    def _tell(self, channels: list[str]) -> None:
        for channel in channels:
            for notify in self._waiting.get(channel, ()):
                notify()

    def _close(self) -> None:
        self._confirmed.clear()
        if self._pubsub is not None:
            try:
                self._pubsub.close()
            finally:
                self._pubsub = None
