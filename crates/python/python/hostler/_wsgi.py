"""The Python side of WSGI: pool threads, and bodies that are read while they arrive."""

import io
import itertools
import threading
import wsgiref.util

from _hostler import Jobs
from hostler import RequestTimeout, _log


_numbers = itertools.count(1)


def start_pool(count, idle_timeout):
    """Starts threads and returns the queue that they serve; they persist, unless an idle one is to end after some seconds."""
    jobs = Jobs(count, idle_timeout)
    for _ in range(count):
        start_thread(jobs)
    return jobs


def start_thread(jobs):
    """Starts a thread of a pool."""
    threading.Thread(target=_serve, args=(jobs,), name=f"hostler-wsgi-{next(_numbers)}", daemon=True).start()


def _serve(jobs):
    # A daemon thread is not joined at exit; threads that the application starts here must not inherit that.
    threading.current_thread()._daemonic = False
    serves = True
    while serves:
        try:
            serves = jobs.serve_one()
        except RequestTimeout:
            # It was raised after the request had ended.
            continue
        except BaseException:
            # A thread that ends in another way than by being idle is not replaced.
            _log.logger("hostler.wsgi").exception("a pool thread caught an exception and goes on")


class FileWrapper(wsgiref.util.FileWrapper):
    """`wsgi.file_wrapper`: regular files of Python's own classes are sent from their descriptor."""


def open_feed(feed, stored):
    """A binary file object over a body: its stored beginning, then what arrives."""
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
