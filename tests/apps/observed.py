"""What the observer is asked about: quick, slow, blocking and failing requests, background work, WebSockets, metrics."""

import asyncio
import os
import time

time.sleep(float(os.environ.get("SLOW_IMPORT", "0")))

try:
    import prometheus_client
except ImportError:
    prometheus_client = None
else:
    CALLS = prometheus_client.Counter("calls", "Calls of the application", ["path"])
    SIZE = prometheus_client.Histogram("size", "Sizes", buckets=(1, 10, 100))
    GAUGES = {
        mode: prometheus_client.Gauge(f"gauge_{mode}", f"A gauge: {mode}", multiprocess_mode=mode)
        for mode in ("all", "liveall", "min", "livemin", "max", "livemax", "sum", "livesum", "mostrecent", "livemostrecent")
    }


async def respond(send, status, body):
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    if scope["type"] != "http":
        raise NotImplementedError
    path, query = scope["path"], scope["query_string"].decode()
    if prometheus_client:
        CALLS.labels(path).inc()
        SIZE.observe(5)
        for gauge in GAUGES.values():
            gauge.set(os.getpid() if path == "/pid-gauges" else 1)
    if path == "/slow":
        await asyncio.sleep(float(query))
    elif path == "/block":
        time.sleep(float(query))
    elif path == "/fail":
        return await respond(send, 500, b"failed")
    elif path == "/missing":
        return await respond(send, 404, b"not here")
    elif path == "/crash":
        os._exit(7)
    elif path == "/generate":
        # What prometheus_client makes of the same files.
        from prometheus_client import CollectorRegistry, generate_latest, multiprocess

        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        return await respond(send, 200, generate_latest(registry))
    await respond(send, 200, str(os.getpid()).encode())


def wsgi(environ, start_response):
    if environ["PATH_INFO"] == "/block":
        time.sleep(float(environ["QUERY_STRING"]))
    start_response("200 OK", [("content-type", "text/plain")])
    return [b"ok"]
