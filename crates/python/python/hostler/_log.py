"""Logging of the server's Python half, and of applications that do not configure it, without blocking.

Python's handler of last resort writes to `sys.stderr`, and a write to a full pipe blocks. This one writes to the
server's log: in Python's format, or as the JSON lines that the server writes. An application that configures logging or replaces `sys.stderr` gets what it
configured.
"""

import logging
import sys
import traceback

from _hostler import write_log


class _Handler(logging.Handler):
    def __init__(self, replaced):
        super().__init__(replaced.level)
        self._replaced = replaced
        self._stderr = sys.stderr

    def emit(self, record):
        if sys.stderr is not self._stderr:
            return self._replaced.handle(record)
        try:
            write_log(record.levelno, record.name, self.format(record))
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
        return logging.getLogger(name)
    finally:
        logging.setLoggerClass(usual)


class _ServerLog(logging.Handler):
    def emit(self, record):
        try:
            write_log(record.levelno, record.name, self.format(record))
        except Exception:
            pass


def to_the_server(name):
    """A logger of another server's name, whose lines are the server's own unless the application configures it."""
    log = logger(name)
    if not log.handlers and log.level == logging.NOTSET:
        log.setLevel(logging.INFO)
        log.addHandler(_ServerLog())
        log.propagate = False
    return log


def install():
    """Replaces `logging.lastResort`, in the mold and so in its workers."""
    # hostler.hooks cannot make its own: it is also imported without the server.
    logger("hostler.hooks")
    if logging.lastResort is not None:
        logging.lastResort = _Handler(logging.lastResort)


def traceback_of(error):
    """The traceback as Python prints it, without the frames of ours that called the application."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith("<hostler"):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames or error.__traceback__))
