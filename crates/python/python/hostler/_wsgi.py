"""The Python side of WSGI: threads of the pool, and bodies that arrive while they are read."""

import io
import threading
import wsgiref.util

from _hostler import Jobs
from hostler import RequestTimeout, _log


def start_pool(count):
    """Starts the persistent threads that serve a queue, and returns the queue."""
    jobs = Jobs()
    for number in range(count):
        threading.Thread(target=_serve, args=(jobs,), name=f"hostler-wsgi-{number + 1}", daemon=True).start()
    return jobs


def _serve(jobs):
    # Nobody joins this thread, but those that the application starts in it are not to inherit that: Python waits for them.
    threading.current_thread()._daemonic = False
    while True:
        try:
            jobs.serve_one()
        except RequestTimeout:
            # It came when the request had ended already.
            continue
        except BaseException:
            # A thread that is gone is missing for ever.
            _log.logger("hostler.wsgi").exception("a thread of the pool failed, and goes on")


class FileWrapper(wsgiref.util.FileWrapper):
    """`wsgi.file_wrapper`: a regular file of Python's own class is sent without Python's help."""


def open_feed(feed, stored):
    """A binary file object over a body that arrives, of which the beginning is stored."""
    return io.BufferedReader(_Feed(feed, stored), 64 * 1024)


class _Feed(io.RawIOBase):
    def __init__(self, feed, stored):
        self._feed = feed
        self._stored = stored
        self._rest = memoryview(b"")

    def readable(self):
        return True

    def readinto(self, buffer):
        if self._stored is not None:
            if count := self._stored.readinto(buffer):
                return count
            self._stored.close()
            self._stored = None
        if not self._rest:
            self._rest = memoryview(self._feed.next_piece())
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
