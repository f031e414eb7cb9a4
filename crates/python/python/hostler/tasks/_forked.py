"""What processes that a task forks must not have: through them a worker that has died would seem to live."""

from __future__ import annotations

import os

_own: set[int] = set()


def keep(descriptor: int) -> None:
    """Forked processes have `/dev/null` in its place."""
    _own.add(descriptor)


def leave(descriptor: int) -> None:
    """It is about to be closed."""
    _own.discard(descriptor)


def _after_fork() -> None:
    if not _own:
        return
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in _own:
        # Not closed: an object of this process still has the number, and would close another's.
        os.dup2(null, descriptor, inheritable=False)
    os.close(null)
    _own.clear()


os.register_at_fork(after_in_child=_after_fork)
