"""The clock of engines that have none: each task worker has one, and of all that see a tick one enqueues."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from hostler.tasks import _task
from hostler.tasks._cron import Cron

#: How long it sleeps at most: the clock of the machine may be set.
_NAP = 30.0
#: The pause before a tick is tried again.
_PAUSE = 1.0

logger = logging.getLogger("hostler.tasks")


class Clock:
    def __init__(self, records: Any, enqueue: Callable[[str], None]) -> None:
        self._records = records
        self._enqueue = enqueue
        self._failed = False
        self._crons = {name: Cron(entry["expression"], entry["zone"]) for name, entry in _task.schedules.items()}

    async def run(self) -> None:
        if not self._crons:
            return
        loop = asyncio.get_running_loop()
        now = time.time()
        await loop.run_in_executor(None, self._catch_up, now)
        ticks = {name: cron.after(now) for name, cron in self._crons.items()}
        while due := [tick for tick in ticks.values() if tick is not None]:
            await asyncio.sleep(min(max(min(due) - time.time(), 0.0), _NAP))
            now = time.time()
            for name, tick in ticks.items():
                if tick is not None and tick <= now:
                    if await loop.run_in_executor(None, self._tick, name, tick):
                        ticks[name] = self._crons[name].after(max(tick, now - 1))
                    else:
                        await asyncio.sleep(_PAUSE)

    def _catch_up(self, now: float) -> None:
        """Ticks that nobody saw are one."""
        for name, cron in self._crons.items():
            try:
                last = self._records.last_tick(name)
                missed = cron.after(last) if last is not None else None
                if missed is not None and missed <= now:
                    self._tick(name, missed)
            except Exception as error:
                logger.warning("whether task %s was missed is not known: %s", name, error)

    def _tick(self, name: str, tick: float) -> bool:
        """Enqueues it, unless another has; False if that is to be tried again."""
        try:
            if self._records.tick(name, tick):
                try:
                    self._enqueue(name)
                except BaseException:
                    self._records.untick(name, tick)
                    raise
            self._failed = False
        except Exception as error:
            if not self._failed:
                logger.error("task %s is due, and cannot be enqueued: %s", name, error)
            self._failed = True
        return not self._failed
