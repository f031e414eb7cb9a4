"""What the RSGI tests ask for. It imports from `granian.rsgi`, as applications written for Granian do."""

import asyncio
import json
import os
import sys

from granian.rsgi import HTTPProtocol, ProtocolClosed, ProtocolError, Scope, WebsocketMessageType

TEXT = [("content-type", "text/plain; charset=utf-8")]


def tell(text):
    print(text, file=sys.stderr, flush=True)


async def on_scope(scope: Scope, protocol: HTTPProtocol):
    names = ("proto", "rsgi_version", "http_version", "server", "client", "scheme", "method", "path")
    data = {name: getattr(scope, name) for name in (*names, "query_string", "authority")}
    headers = scope.headers
    data["headers"] = dict(headers.items())
    data["twice"] = headers.get_all("x-twice")
    data["mapping"] = [headers["host"], "nope" in headers, headers.get("nope", "default"), len(headers)]
    data["again"] = list(headers) == headers.keys()
    protocol.response_bytes(200, [("content-type", "application/json")], json.dumps(data).encode())


async def on_str(scope, protocol):
    protocol.response_str(status=201, headers=[*TEXT, ("x-latin", "gr\xfc\xdfe")], body="Grüße")


async def on_empty(scope, protocol):
    protocol.response_empty(204)


async def on_echo(scope, protocol):
    body = await protocol()
    try:
        await protocol()
    except ProtocolError:
        tell("the second read raised ProtocolError")
    protocol.response_bytes(200, TEXT, body)


async def on_echo_stream(scope, protocol):
    transport = protocol.response_stream(200, TEXT)
    async for piece in protocol:
        await transport.send_bytes(piece)


async def on_patient(scope, protocol):
    """Gives up waiting for a piece, and asks again."""
    pieces = protocol.__aiter__()
    try:
        await asyncio.wait_for(asyncio.ensure_future(pieces.__anext__()), 0.05)
    except asyncio.TimeoutError:
        tell("gave up")
    rest = [piece async for piece in _rest(pieces)]
    protocol.response_bytes(200, TEXT, b"".join(rest))


async def _rest(pieces):
    while True:
        try:
            yield await pieces.__anext__()
        except StopAsyncIteration:
            return


async def on_stream(scope, protocol):
    transport = protocol.response_stream(200, TEXT)
    for number in range(3):
        await transport.send_str(f"piece {number}\n")
        await asyncio.sleep(0)


async def on_flood(scope, protocol):
    transport = protocol.response_stream(200, [])
    sent = 0
    try:
        while sent < 2000:
            await asyncio.wait_for(asyncio.ensure_future(transport.send_bytes(bytes(65536))), 2)
            sent += 1
    except asyncio.TimeoutError:
        tell(f"flooded {sent}")


async def on_file(scope, protocol):
    protocol.response_file(200, TEXT, os.environ["SOME_FILE"])


async def on_range(scope, protocol):
    start, end = (int(number) for number in scope.query_string.split("-"))
    try:
        protocol.response_file_range(206, TEXT, os.environ["SOME_FILE"], start, end)
    except ValueError:
        protocol.response_empty(416, [("content-range", "bytes */10")])


async def on_no_file(scope, protocol):
    protocol.response_file(200, TEXT, "/there/is/no/such/file")


async def on_raise(scope, protocol):
    raise RuntimeError("raised in RSGI on purpose")


async def on_raise_midway(scope, protocol):
    transport = protocol.response_stream(200, TEXT)
    await transport.send_str("the beginning")
    raise RuntimeError("raised midway on purpose")


async def on_nothing(scope, protocol):
    pass


async def on_twice(scope, protocol):
    protocol.response_str(200, TEXT, "first")
    protocol.response_str(500, TEXT, "second")


async def on_bad(scope, protocol):
    wrong = []
    for attempt in (
        lambda: protocol.response_str(99, [], ""),
        lambda: protocol.response_str(200, [("bad name", "x")], ""),
        lambda: protocol.response_str(200, [("x", "a\r\nb")], ""),
        lambda: protocol.response_str(200, [("x", 1)], ""),
        lambda: protocol.response_str(200, [("x", "a")] * 40_000, ""),
        lambda: protocol.response_str(200, [("content-length", "7")], "four"),
        lambda: protocol.response_bytes(200, [], "text"),
    ):
        try:
            attempt()
            wrong.append("nothing")
        except Exception as error:
            wrong.append(type(error).__name__)
    protocol.response_str(200, TEXT, " ".join(wrong))


async def on_short(scope, protocol):
    transport = protocol.response_stream(200, [("content-length", "20")])
    await transport.send_str("too short")


async def on_long(scope, protocol):
    transport = protocol.response_stream(200, [("content-length", "2")])
    await transport.send_str("too long")


async def on_long_ignored(scope, protocol):
    transport = protocol.response_stream(200, [("content-length", "2")])
    try:
        await transport.send_str("too long")
    except ProtocolError:
        pass


async def on_watch(scope, protocol):
    tell("watching")
    await protocol.client_disconnect()
    tell("the client left")
    await protocol.client_disconnect()
    protocol.response_empty(200)


async def on_watch_events(scope, protocol):
    await on_watch_stream(scope, protocol, [("content-type", "text/event-stream")])


async def on_watch_stream(scope, protocol, headers=TEXT):
    transport = protocol.response_stream(200, headers)
    await transport.send_str("begun")
    disconnect = protocol.client_disconnect()
    if scope.query_string:
        tell(f"read {(await protocol()).decode()}")
    await disconnect
    tell("the stream ends")
    try:
        while True:
            await transport.send_bytes(bytes(65536))
            await asyncio.sleep(0)
    except ProtocolClosed:
        tell("sending raised ProtocolClosed")


async def on_late_stream(scope, protocol):
    """Begins a stream when its client is gone."""
    tell("waits for the end of its client")
    await protocol.client_disconnect()
    transport = protocol.response_stream(200, TEXT)
    try:
        await transport.send_str("late")
    except ProtocolClosed:
        tell("sending late raised ProtocolClosed")


async def on_ws_echo(scope, protocol):
    assert scope.proto == "ws" and scope.method == ("CONNECT" if scope.http_version == "2" else "GET")
    transport = await protocol.accept()
    while True:
        message = await transport.receive()
        if message.kind == WebsocketMessageType.close:
            assert message.data is None
            break
        if message.kind == WebsocketMessageType.bytes:
            await transport.send_bytes(message.data)
        else:
            await transport.send_str(message.data)
    tell("the socket closed")
    try:
        await transport.send_str("too late")
    except ProtocolClosed:
        tell("sending to it raised ProtocolClosed")
    protocol.close()


async def on_ws_reject(scope, protocol):
    protocol.close(int(scope.query_string) if scope.query_string else None)


async def on_ws_close(scope, protocol):
    transport = await protocol.accept()
    await transport.send_str("goodbye")
    protocol.close(4002)
    assert (await transport.receive()).kind == 0


async def on_ws_raise(scope, protocol):
    await protocol.accept()
    raise RuntimeError("raised in an RSGI socket on purpose")


class App:
    async def __call__(self, scope, receive, send):
        raise AssertionError("it is not to be called by ASGI")

    def __rsgi_init__(self, loop):
        self.made = loop.run_until_complete(self._make(loop))
        tell("initialised")

    async def _make(self, loop):
        assert asyncio.get_running_loop() is loop
        return "made"

    def __rsgi_del__(self, loop):
        loop.run_until_complete(asyncio.sleep(0))
        tell(f"deleted what was {self.made}")

    async def __rsgi__(self, scope, protocol):
        await globals()["on_" + scope.path.strip("/")](scope, protocol)


app = App()


def plain(scope, protocol):
    """A function that returns a coroutine, without the class."""
    return on_str(scope, protocol)


class FailsToStart:
    def __rsgi_init__(self, loop):
        raise RuntimeError("cannot start on purpose")

    async def __rsgi__(self, scope, protocol):
        pass


fails = FailsToStart()
