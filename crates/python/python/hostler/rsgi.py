"""What RSGI applications import: the types, the exceptions and the kinds of WebSocket messages.

An application written for Granian imports them from `granian.rsgi`. Where Granian is not installed that name leads
here; where it is, its exceptions are raised, so that the application catches what it expects.
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
    # Outside of a worker the names are there for annotations.
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
    """The application did something at the wrong time."""


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
    """The exceptions that the application knows: (protocol error, client gone)."""
    known = sys.modules.get("granian.rsgi")
    return getattr(known, "ProtocolError", ProtocolError), getattr(known, "ProtocolClosed", ProtocolClosed)
