"""How many tasks a worker takes ahead: short ones, so that it does not wait for the keeper between them."""

from __future__ import annotations

#: How much work may wait in a worker, in seconds.
_WORK = 0.01
#: The most tasks that wait in a worker.
_MOST = 64
#: How many tasks are looked at before any is taken ahead.
_FIRST = 8
#: The weight of a new one in the mean.
_WEIGHT = 0.125


class Ahead:
    """Learns from what runs how long the next ones will."""

    def __init__(self) -> None:
        #: How many are taken ahead: a power of 2, or none.
        self.count = 0
        self._seen = 0
        self._mean = 0.0

    def learn(self, seconds: float) -> bool:
        """Whether `count` is another one now."""
        self._seen += 1
        self._mean += (seconds - self._mean) * max(_WEIGHT, 1 / self._seen)
        if self._seen < _FIRST:
            return False
        wanted = min(int(_WORK / max(self._mean, 1e-6)), _MOST)
        # It grows at once, and shrinks when it is far too large: not at each task.
        if self.count < wanted or wanted * 4 <= self.count:
            return self._set(1 << (wanted.bit_length() - 1) if wanted else 0)
        return False

    def none(self) -> bool:
        """One of them takes too long: begins anew. Whether `count` is another one now."""
        self._seen = 0
        self._mean = 0.0
        return self._set(0)

    def _set(self, count: int) -> bool:
        changed = count != self.count
        self.count = count
        return changed
