"""Python's logging as a part of the server's log: without blocking, and in its form.

What the application logs without having configured `logging` goes to the server's log, where Python's handler of last
resort would write to `sys.stderr`, which blocks on a full pipe: in Python's format, or as the JSON lines that the server
writes. The server's own loggers are below `hostler`; they, and those that applications know from other servers, write
lines like the server's own. An application that configures logging or replaces `sys.stderr` gets what it configured.
"""

import logging
import sys
import threading
import traceback

from _hostler import write_log

# Loggers of other servers, which applications fetch to write to the server's log, or to copy the handlers of.
OF_OTHERS = ("uvicorn", "gunicorn.error", "hypercorn.error", "_granian")
# The server's own loggers that were made.
_ours = []


def _exception(record):
    """Class, message and traceback of the exception of a record."""
    info = record.exc_info
    if not info or info[1] is None:
        return None
    kind, error, frames = info
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return name, _said(str, error), "".join(traceback.format_exception(kind, error, frames)).rstrip()


def _said(say, thing):
    """What a thing of the application says of itself, which may fail."""
    try:
        return say(thing)
    except Exception:
        return f"<{type(thing).__name__} {say.__name__}() failed>"


def _text(record):
    try:
        text = record.getMessage()
    except Exception as error:
        # Python prints where the call is.
        text = (
            f"a line of the log cannot be formatted ({type(error).__name__}: {_said(str, error)}): "
            f"{_said(repr, record.msg)} % {_said(repr, record.args)}, in {record.pathname}:{record.lineno}"
        )
    return f"{text}\n{record.stack_info}" if record.stack_info else text


class _LastResort(logging.Handler):
    def __init__(self, replaced):
        super().__init__(replaced.level)
        self._replaced = replaced
        self._stderr = sys.stderr

    def emit(self, record):
        if sys.stderr is not self._stderr:
            return self._replaced.handle(record)
        _write(record, record.name.partition(".")[0] == "hostler")


class _ServerLog(logging.Handler):
    def emit(self, record):
        _write(record, True)


def _write(record, server):
    try:
        write_log(record.levelno, record.name, _text(record), _exception(record), server)
    except Exception:
        # There is no other place to report this.
        pass


class _Logger(logging.Logger):
    """A logger that `disable_existing_loggers` does not silence."""

    disabled = property(lambda self: False, lambda self, value: None)


def logger(name):
    """A logger of the server; applications set its level and handlers like those of any other."""
    usual = logging.getLoggerClass()
    logging.setLoggerClass(_Logger)
    try:
        log = logging.getLogger(name)
    finally:
        logging.setLoggerClass(usual)
    if name.startswith("hostler.") and log not in _ours:
        _ours.append(log)
        if _parent is not None and log is not _parent:
            log.parent = _parent
    return log


# The logger that a configuration has for the server's lines.
_parent = None


def use(parent):
    """The server's loggers write to this one from now on."""
    global _parent
    _parent = parent
    for log in _ours:
        if log is not parent:
            log.parent = parent


def forget_others():
    """Leaves the loggers of other servers to a configuration."""
    for name in OF_OTHERS:
        log = logging.getLogger(name)
        log.handlers = [handler for handler in log.handlers if not isinstance(handler, _ServerLog)]
        log.setLevel(logging.NOTSET)
        log.propagate = True


def to_the_server(name):
    """A logger whose lines are the server's own, unless the application configures it."""
    log = logger(name)
    if not log.handlers and log.level == logging.NOTSET:
        log.setLevel(logging.INFO)
        log.addHandler(_ServerLog())
        log.propagate = False
    return log


def install(json):
    """Makes Python's logging a part of the server's log, in the mold and so in its workers; `json`: the format of its lines."""
    for name in OF_OTHERS:
        to_the_server(name)
    # hostler.hooks cannot make its own: it is also imported without the server.
    for name in ("hostler.error", "hostler.hooks"):
        logger(name)
    if logging.lastResort is not None:
        logging.lastResort = _LastResort(logging.lastResort)
    if json:
        _print_as_json()


def _print_as_json():
    """What Python itself prints on standard error becomes lines of the log: warnings, and exceptions that nothing catches."""
    # It would be given a handler that drops lines.
    to_the_server("py.warnings")
    logging.captureWarnings(True)
    log = logging.getLogger("hostler.error")

    def in_thread(args):
        if args.exc_type is not SystemExit:
            name = args.thread.name if args.thread else "unknown"
            info = (args.exc_type, args.exc_value, args.exc_traceback)
            log.error("exception in thread %s", name, exc_info=info)

    def unraisable(args):
        what = args.err_msg or "exception ignored in"
        info = (args.exc_type, args.exc_value, args.exc_traceback)
        log.error("%s: %r", what, args.object, exc_info=info)

    threading.excepthook = in_thread
    sys.unraisablehook = unraisable


def traceback_of(error):
    """The traceback as Python prints it, without the frames of ours that called the application."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith("<hostler"):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames or error.__traceback__))
