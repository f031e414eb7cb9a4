"""hostler: a pre-fork application server. In a worker this package is part of the server's extension module."""

try:
    from _hostler import __version__
except ImportError:
    # Not in a worker: in tests, in a type checker, in an application that another server runs.
    __version__ = "0.1.0"

__all__ = ["EventLoop", "RequestTimeout", "__version__", "hooks"]


class RequestTimeout(BaseException):
    """Raised in the thread of a WSGI request that took longer than --request-timeout."""


def __getattr__(name):
    if name == "EventLoop":
        from hostler._loop import EventLoop

        return EventLoop
    raise AttributeError(f"module 'hostler' has no attribute {name!r}")
