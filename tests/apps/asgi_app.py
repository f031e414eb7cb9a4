"""What the ASGI tests ask for, without a framework."""

import asyncio
import contextlib
import contextvars
import json
import os
import sys
import time

FROM_LIFESPAN = contextvars.ContextVar("from_lifespan", default="nothing")
OF_REQUEST = contextvars.ContextVar("of_request", default="nothing")
KEPT = []
SEEN = {"disconnects": 0, "sent": 0}


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(scope, receive, send)
    handler = globals()["on_" + scope["path"].strip("/").split("/")[0]]
    await handler(scope, receive, send)


async def lifespan(scope, receive, send):
    await receive()
    scope["state"]["started"] = "yes"
    FROM_LIFESPAN.set("lifespan")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("lifespan shutdown", flush=True)
    if "SHUTDOWN_FILE" in os.environ:
        with open(os.environ["SHUTDOWN_FILE"], "a") as file:
            file.write("shutdown\n")
    await send({"type": "lifespan.shutdown.complete"})


async def answer(send, body, status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


async def read_body(receive):
    body = b""
    while True:
        event = await receive()
        assert event["type"] == "http.request", event
        body += event["body"]
        if not event["more_body"]:
            return body


async def on_scope(scope, receive, send):
    shown = {k: v for k, v in scope.items() if k not in ("headers", "state", "app")}
    shown["headers"] = [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]]
    shown["state"] = dict(scope["state"])
    scope["state"]["leaked"] = "no"
    text = json.dumps(shown, default=lambda v: v.decode("latin-1"))
    await answer(send, text.encode())


async def on_abilities(scope, receive, send):
    """Shows what the server says of itself, then spoils it; some of it is kept."""
    shown = json.dumps([scope["asgi"], scope["extensions"]], default=lambda deadline: "a deadline")
    query = scope["query_string"]
    if query == b"values":
        scope["asgi"]["version"] = "2.0"
        scope["extensions"]["http.response.trailers"] = {"spoilt": 1}
    elif query == b"keys":
        scope["asgi"]["more"] = scope["extensions"]["more"] = 1
        del scope["asgi"]["spec_version"], scope["extensions"]["http.response.pathsend"]
    elif query == b"inside":
        scope["extensions"]["http.response.early_hint"]["spoilt"] = 1
    elif query == b"kept":
        KEPT.append((scope["asgi"], scope["extensions"], scope["extensions"]["http.response.pathsend"]))
    for asgi, extensions, inside in KEPT:
        asgi["late"] = extensions["late"] = inside["late"] = 1
    await answer(send, shown.encode())


async def on_pid(scope, receive, send):
    await answer(send, str(os.getpid()).encode())


async def on_echo(scope, receive, send):
    await answer(send, await read_body(receive))


async def on_slow(scope, receive, send):
    await asyncio.sleep(float(scope["query_string"] or b"0.5"))
    await answer(send, b"slow answer")


async def on_block(scope, receive, send):
    print("blocks now", file=sys.stderr, flush=True)
    time.sleep(float(scope["query_string"] or b"0.5"))
    await answer(send, b"blocked answer")


async def on_stream(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-kind", b"stream")]})
    for number in range(10):
        await send({"type": "http.response.body", "body": b"piece %d\n" % number, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def on_flood(scope, receive, send):
    """Sends 100 MB; counts how much the server took."""
    SEEN["sent"] = 0
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(1600):
        await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        SEEN["sent"] += 65536
    await send({"type": "http.response.body", "body": b""})


async def on_seen(scope, receive, send):
    await answer(send, json.dumps(SEEN).encode())


async def on_disconnect(scope, receive, send):
    await read_body(receive)
    event = await receive()
    if event["type"] == "http.disconnect":
        SEEN["disconnects"] += 1


async def on_raise(scope, receive, send):
    raise RuntimeError("raised on purpose")


async def on_raise_late(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    raise RuntimeError("raised late on purpose")


async def on_silent(scope, receive, send):
    return


async def on_badheader(scope, receive, send):
    await answer(send, b"x", headers=[(b"x-evil", b"a\r\nset-cookie: b=c")])


async def on_badname(scope, receive, send):
    await answer(send, b"x", headers=[(b"x evil\r\n", b"a")])


async def on_status(scope, receive, send):
    await answer(send, b"", status=int(scope["query_string"]))


async def on_nocontent(scope, receive, send):
    await answer(send, b"", status=204, headers=[(b"content-length", b"3")])


async def on_fifo(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.pathsend", "path": os.environ["SOME_FIFO"]})


async def on_manyheaders(scope, receive, send):
    await answer(send, b"x", headers=[(b"x-%d" % number, b"a") for number in range(40_000)])


async def on_manytrailers(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
    await send({"type": "http.response.body", "body": b"x"})
    for _ in range(10):
        trailers = [(b"x-%d" % number, b"a") for number in range(10_000)]
        await send({"type": "http.response.trailers", "headers": trailers, "more_trailers": True})


async def on_toolong(scope, receive, send):
    await answer(send, b"0123456789ABCDEF", headers=[(b"content-length", b"10")])


async def on_tooshort(scope, receive, send):
    await answer(send, b"01234", headers=[(b"content-length", b"10")])


async def on_tooshort_stream(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
    await send({"type": "http.response.body", "body": b"0123", "more_body": True})
    await send({"type": "http.response.body", "body": b"4"})


async def on_twice(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def on_task(scope, receive, send):
    task = asyncio.current_task()
    async with asyncio.timeout(5) if hasattr(asyncio, "timeout") else open_nothing():
        await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    value = await loop.run_in_executor(None, lambda: 41)
    later = loop.create_future()
    loop.call_soon(later.set_result, 1)
    same = asyncio.current_task() is task
    await answer(send, f"{value + await later} {same}".encode())


class open_nothing:
    async def __aenter__(self):
        return self

    async def __aexit__(self, *args):
        return None


async def on_subprocess(scope, receive, send):
    process = await asyncio.create_subprocess_exec("echo", "from a subprocess", stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    await answer(send, out + str(process.returncode).encode())


async def on_sockets(scope, receive, send):
    async def serve(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"through asyncio streams\n")
    line = await reader.readline()
    writer.close()
    server.close()
    await answer(send, line)


async def on_leaving(scope, receive, send):
    """Computes in one task while another listens for the disconnect."""
    await read_body(receive)
    print("waits now", file=sys.stderr, flush=True)
    begun = time.monotonic()
    computing = asyncio.ensure_future(asyncio.sleep(600))
    event = await receive()
    computing.cancel()
    elapsed = round((time.monotonic() - begun) * 1000)
    print(f"left after {elapsed} ms: {event['type']}", file=sys.stderr, flush=True)


async def on_path(scope, receive, send):
    assert "http.response.pathsend" in scope["extensions"]
    path = scope["query_string"].decode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        await send({"type": "http.response.pathsend", "path": path})
    except OSError as error:
        await send({"type": "http.response.body", "body": type(error).__name__.encode()})


async def on_hints(scope, receive, send):
    """Two hints before a slow response, and one that comes too late."""
    assert "http.response.early_hint" in scope["extensions"]
    await asyncio.sleep(0)
    await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]})
    await asyncio.sleep(0.05)
    await send({"type": "http.response.early_hint", "links": [b"</c.png>; rel=preload"]})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        await send({"type": "http.response.early_hint", "links": [b"</late>; rel=preload"]})
    except RuntimeError:
        await send({"type": "http.response.body", "body": b"hinted"})


async def on_trailers(scope, receive, send):
    headers = [(b"trailer", b"x-checksum, x-more")]
    await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})
    await send({"type": "http.response.body", "body": b"body"})
    first = [(b"x-checksum", b"abc")]
    await send({"type": "http.response.trailers", "headers": first, "more_trailers": True})
    await send({"type": "http.response.trailers", "headers": [(b"x-more", b"def")]})


async def on_notrailers(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
    await send({"type": "http.response.body", "body": b"body"})


async def on_loop(scope, receive, send):
    loop = asyncio.get_running_loop()
    body = await read_body(receive)
    await asyncio.sleep(0.01)
    waiting = loop.create_future()
    loop.call_soon(waiting.set_result, len(body))
    number = await loop.run_in_executor(None, lambda: 42)
    await answer(send, f"{type(loop).__module__} {await waiting} {number}".encode())


START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b""}


async def refused(send, *events):
    """What the last of these events raises."""
    for event in events[:-1]:
        await send(event)
    try:
        await send(events[-1])
    except Exception as error:
        return type(error).__name__
    return "nothing"


async def on_mistakes(scope, receive, send):
    """Events that are wrong before, during and after a response; each is refused, and the response arrives."""
    before = [
        await refused(send, event)
        for event in (
            "text",
            {},
            {"type": 5},
            {"type": "http.response.unknown"},
            {"type": "http.response.start"},
            {"type": "http.response.start", "status": "ok"},
            {"type": "http.response.start", "status": 99},
            {"type": "http.response.start", "status": 200, "headers": 7},
            {"type": "http.response.start", "status": 200, "headers": [(b"a",)]},
            {"type": "http.response.start", "status": 200, "headers": [("a", "b")]},
            {"type": "http.response.body", "body": b"early"},
            {"type": "http.response.trailers", "headers": []},
            {"type": "websocket.accept"},
        )
    ]
    await send(START)
    during = [
        await refused(send, event)
        for event in (START, {"type": "http.response.body", "body": "text"}, {"type": "http.response.body", "body": 5})
    ]
    text = " ".join([*before, "|", *during])
    await send({"type": "http.response.body", "body": text.encode()})
    after = [await refused(send, event) for event in (START, BODY)]
    print("after:", *after, (await receive())["type"], file=sys.stderr, flush=True)


async def on_stubborn(scope, receive, send):
    """Ignores its cancellation and responds all the same."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        pass
    print("stubborn:", await refused(send, START), file=sys.stderr, flush=True)


async def on_immortal(scope, receive, send):
    """Ignores all cancellations."""
    print("lives on", file=sys.stderr, flush=True)
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


async def on_never(scope, receive, send):
    print("never responds", file=sys.stderr, flush=True)
    await asyncio.get_running_loop().create_future()


async def on_context(scope, receive, send):
    """What a request finds in its context, before it leaves something there."""
    found = f"{FROM_LIFESPAN.get()} {OF_REQUEST.get()}"
    OF_REQUEST.set("left behind")
    FROM_LIFESPAN.set("overwritten")
    if scope["query_string"]:
        await asyncio.sleep(0.01)
        found += f" {OF_REQUEST.get()}"
    await answer(send, found.encode())


async def on_text(scope, receive, send):
    """A text of the length that the query asks for, with a validator; of the type that the path ends in."""
    kind = scope["path"].removeprefix("/text").strip("/") or "text/plain"
    body = (b"0123456789abcdef" * 4096)[: int(scope["query_string"])]
    headers = [(b"content-type", kind.encode()), (b"etag", b'"strong"'), (b"content-length", b"%d" % len(body))]
    await answer(send, b"" if scope["method"] == "HEAD" else body, headers=headers)


async def on_unsized(scope, receive, send):
    """The same in one piece whose length is not announced, also to HEAD."""
    body = (b"0123456789abcdef" * 4096)[: int(scope["query_string"])]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


async def on_not_modified(scope, receive, send):
    await send({"type": "http.response.start", "status": 304, "headers": [(b"etag", b'"strong"')]})
    await send({"type": "http.response.body", "body": b""})


async def on_text_file(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.pathsend", "path": scope["query_string"].decode()})


async def on_large_noise(scope, receive, send):
    """16 MiB that do not become smaller, in one piece."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % (16 << 20))]
    await answer(send, os.urandom(16 << 20), headers=headers)


async def on_encoded(scope, receive, send):
    headers = [(b"content-type", b"text/plain"), (b"content-encoding", b"gzip")]
    await answer(send, b"as it is" * 1000, headers=headers)


async def on_ticks(scope, receive, send):
    """A piece at a time, each once the file that the query names exists."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"tick one,", "more_body": True})
    while not os.path.exists(scope["query_string"].decode()):
        await asyncio.sleep(0.01)
    await send({"type": "http.response.body", "body": b" tick two"})


async def on_noise(scope, receive, send):
    """Sends 100 MB that do not become smaller; counts how much the server took."""
    SEEN["sent"] = 0
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    for _ in range(1600):
        await send({"type": "http.response.body", "body": os.urandom(65536), "more_body": True})
        SEEN["sent"] += 65536
    await send({"type": "http.response.body", "body": b""})


async def on_raise_text(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    await asyncio.sleep(0)
    raise RuntimeError("raised in a compressed response")


async def on_bulk(scope, receive, send):
    """One piece of the length that the query asks for."""
    length = int(scope["query_string"])
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % length)]
    await answer(send, bytes(length), headers=headers)


async def on_exit(scope, receive, send):
    os._exit(7)
