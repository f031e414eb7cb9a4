"""What the server's Python half and unconfigured logging say, without waiting for the log's reader.

Python's handler of last resort writes to `sys.stderr`, and a write to a pipe that nobody reads waits for ever. This one
writes where the server's own lines go, in the same form as Python's. An application that configures logging, or puts
something else in the place of `sys.stderr`, gets what it asked for.
"""

import logging
import sys

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
            write_log(self.format(record) + "\n")
        except Exception:
            # As a last resort that fails there is nobody left to be told.
            pass


class _Logger(logging.Logger):
    """One that `disable_existing_loggers`, which is meant for libraries' chatter, does not silence."""

    disabled = property(lambda self: False, lambda self, value: None)


def logger(name):
    """A logger of ours; its level and its handlers are the application's to set, as those of any other."""
    usual = logging.getLoggerClass()
    logging.setLoggerClass(_Logger)
    try:
        return logging.getLogger(name)
    finally:
        logging.setLoggerClass(usual)


def install():
    """Takes the place of `logging.lastResort`, in the mold and so in its workers."""
    # The module that uses it is also imported where the server is not.
    logger("hostler.hooks")
    if logging.lastResort is not None:
        logging.lastResort = _Handler(logging.lastResort)
