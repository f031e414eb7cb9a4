"""Waits for itself while it is imported."""

import threading

lock = threading.Lock()
lock.acquire()
lock.acquire()


async def app(scope, receive, send):
    pass
