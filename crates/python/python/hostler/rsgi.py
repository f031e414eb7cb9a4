"""What RSGI applications import: the types, the exceptions and the kinds of WebSocket messages.

An application written for Granian imports them from `granian.rsgi`. If Granian is not installed, that name refers to
this module; if it is, Granian's exceptions are raised, so that the application catches what it expects.
"""

import collections.abc
import enum
import importlib.util
import sys
import types

try:
    from _hostler import (
        Headers,
        HTTPProtocol,
        HTTPStreamTransport,
        Scope,
        WebsocketMessage,
        WebsocketProtocol,
        WebsocketTransport,
    )
except ImportError:
    # Not in a worker: the names are defined for annotations.
    class Headers: ...

    class HTTPProtocol: ...

    class HTTPStreamTransport: ...

    class Scope: ...

    class WebsocketMessage: ...

    class WebsocketProtocol: ...

    class WebsocketTransport: ...


__all__ = [
    "HTTPProtocol",
    "HTTPStreamTransport",
    "Headers",
    "ProtocolClosed",
    "ProtocolError",
    "Scope",
    "WebsocketMessage",
    "WebsocketMessageType",
    "WebsocketProtocol",
    "WebsocketTransport",
]

collections.abc.Mapping.register(Headers)


class ProtocolError(RuntimeError):
    """The application used the protocol in a wrong state."""


class ProtocolClosed(RuntimeError):
    """The client is gone."""


class WebsocketMessageType(int, enum.Enum):
    """`kind` of a message."""

    close = 0
    bytes = 1
    string = 2


def stand_in_for_granian():
    """Makes `from granian.rsgi import …` work without Granian."""
    if "granian" in sys.modules or importlib.util.find_spec("granian") is not None:
        return
    granian = types.ModuleType("granian")
    granian.__path__ = []
    granian.rsgi = sys.modules[__name__]
    sys.modules["granian"] = granian
    sys.modules["granian.rsgi"] = granian.rsgi


def errors():
    """The exceptions that the application imports: (protocol error, client gone)."""
    known = sys.modules.get("granian.rsgi")
    return getattr(known, "ProtocolError", ProtocolError), getattr(known, "ProtocolClosed", ProtocolClosed)
