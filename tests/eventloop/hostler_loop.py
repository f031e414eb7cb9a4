"""Loads the extension from its file, as the server does, and gives its event loop."""

import importlib.machinery
import importlib.util
import sys


def load(extension):
    """hostler's `EventLoop`, from the file that cargo built for this Python."""
    loader = importlib.machinery.ExtensionFileLoader("_hostler", str(extension))
    spec = importlib.util.spec_from_file_location("_hostler", str(extension), loader=loader)
    try:
        module = importlib.util.module_from_spec(spec)
    except ImportError as error:
        raise SystemExit(f"{extension} cannot be loaded by Python {sys.version.split()[0]}: {error}") from error
    sys.modules["_hostler"] = module
    loader.exec_module(module)
    from hostler._loop import EventLoop

    return EventLoop


def make_default(loop):
    """Makes a class what asyncio's names, `new_event_loop`, `run` and `Runner` give."""
    import asyncio

    unix = asyncio.unix_events
    unix._UnixDefaultEventLoopPolicy._loop_factory = loop
    for module in (asyncio, unix):
        for name in ("SelectorEventLoop", "EventLoop"):
            if hasattr(module, name):
                setattr(module, name, loop)
