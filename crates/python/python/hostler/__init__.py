"""hostler: a pre-fork application server. This package lives inside the server's workers."""

from _hostler import __version__

__all__ = ["EventLoop", "RequestTimeout", "__version__", "hooks"]


class RequestTimeout(BaseException):
    """Raised in the thread of a WSGI request that took longer than --request-timeout."""



def __getattr__(name):
    if name == "EventLoop":
        from hostler._loop import EventLoop

        return EventLoop
    raise AttributeError(f"module 'hostler' has no attribute {name!r}")
