"""hostler: a pre-fork application server. This package lives inside the server's workers."""

from _hostler import __version__

__all__ = ["EventLoop", "__version__"]


def __getattr__(name):
    if name == "EventLoop":
        from hostler._loop import EventLoop

        return EventLoop
    raise AttributeError(f"module 'hostler' has no attribute {name!r}")
