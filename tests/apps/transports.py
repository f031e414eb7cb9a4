"""Asks the worker's event loop for what asyncio promises of stream transports; a path names a case.

A case is a coroutine that raises if a promise is not kept. Each runs in a task of the request.
"""

import asyncio
import contextvars
import gc
import os
import socket
import tempfile
import time
import traceback
import warnings
import weakref

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


class Recorder(asyncio.Protocol):
    """Writes down what happens to it."""

    def __init__(self):
        self.seen = []
        self.data = b""
        self.transport = None
        self.lost = asyncio.get_running_loop().create_future()
        self.keep_open = False

    def connection_made(self, transport):
        self.transport = transport
        self.seen.append("made")

    def data_received(self, data):
        self.data += data

    def eof_received(self):
        self.seen.append("eof")
        return self.keep_open

    def connection_lost(self, exc):
        self.seen.append("lost")
        self.lost.set_result(exc)

    def pause_writing(self):
        self.seen.append("pause")

    def resume_writing(self):
        self.seen.append("resume")


async def pair(factory=Recorder):
    """A transport with its protocol, and the socket at its other end."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_connection(factory, sock=ours)
    return transport, protocol, theirs


async def until(condition):
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("that did not happen")


def raises(kind, function, *args):
    try:
        function(*args)
    except kind as error:
        return str(error)
    raise AssertionError(f"{function} should have raised {kind}")


async def drained(theirs, count):
    data = b""
    while len(data) < count:
        data += await asyncio.get_running_loop().sock_recv(theirs, 1 << 20)
    return data


class handled:
    """What the loop's exception handler is told meanwhile."""

    def __enter__(self):
        self.told = []
        self.loop = asyncio.get_running_loop()
        self.before = self.loop.get_exception_handler()
        self.loop.set_exception_handler(lambda loop, context: self.told.append(context))
        return self.told

    def __exit__(self, *_):
        self.loop.set_exception_handler(self.before)


@case
async def it_is_ours_and_asyncios():
    transport, protocol, theirs = await pair()
    assert type(transport).__mro__[1].__module__ == "hostler", type(transport).__mro__
    assert isinstance(transport, asyncio.Transport)
    assert transport.get_extra_info("socket").fileno() == transport._sock_fd
    assert transport.get_extra_info("nothing", 5) == 5
    assert transport.get_protocol() is protocol
    assert transport.can_write_eof() and transport.is_reading() and not transport.is_closing()
    transport.close()
    assert await protocol.lost is None
    assert "closed" in repr(transport)
    theirs.close()


@case
async def a_descriptor_in_use_cannot_be_watched():
    transport, protocol, theirs = await pair()
    loop = asyncio.get_running_loop()
    raises(RuntimeError, loop.add_reader, transport._sock_fd, print)
    transport.close()
    await protocol.lost
    theirs.close()


@case
async def write_takes_bytes_of_any_kind_and_nothing_else():
    transport, protocol, theirs = await pair()
    transport.write(b"a")
    transport.write(bytearray(b"b"))
    transport.write(memoryview(b"xcx")[1:2])
    transport.write(b"")
    transport.writelines([b"d", bytearray(b"e"), memoryview(b"f"), b""])
    transport.writelines(line for line in [b"g"])
    assert await drained(theirs, 7) == b"abcdefg"
    text = raises(TypeError, transport.write, "text")
    assert text == "data argument must be a bytes-like object, not 'str'", text
    transport.write_eof()
    raises(RuntimeError, transport.write, b"more")
    raises(RuntimeError, transport.writelines, [b"more"])
    assert await drained(theirs, 0) == b""
    transport.close()
    await protocol.lost
    theirs.close()


@case
async def much_is_sent_in_order_and_the_protocol_is_told_to_pause():
    transport, protocol, theirs = await pair()
    pieces = [bytes([i % 251]) * (i % 7000) for i in range(1500)]
    transport.writelines(pieces[:700])
    for piece in pieces[700:]:
        transport.write(piece)
    expected = b"".join(pieces)
    assert 0 < transport.get_write_buffer_size() < len(expected)
    assert protocol.seen == ["made", "pause"], protocol.seen
    transport.write_eof()
    transport.close()
    assert await drained(theirs, len(expected)) == expected
    assert await protocol.lost is None
    assert protocol.seen == ["made", "pause", "resume", "lost"], protocol.seen
    assert theirs.recv(1) == b""
    theirs.close()


@case
async def limits_of_the_write_buffer_are_asyncios():
    transport, protocol, theirs = await pair()
    assert transport.get_write_buffer_limits() == (16384, 65536)
    transport.set_write_buffer_limits(low=10)
    assert transport.get_write_buffer_limits() == (10, 40)
    transport.set_write_buffer_limits(high=400)
    assert transport.get_write_buffer_limits() == (100, 400)
    raises(ValueError, transport.set_write_buffer_limits, 1, 2)
    raises(ValueError, transport.set_write_buffer_limits, 1, -2)
    transport.abort()
    await protocol.lost
    theirs.close()


@case
async def a_paused_transport_reads_nothing():
    transport, protocol, theirs = await pair()
    await asyncio.sleep(0.01)
    transport.pause_reading()
    assert not transport.is_reading()
    theirs.send(b"later")
    await asyncio.sleep(0.02)
    assert protocol.data == b""
    transport.resume_reading()
    await until(lambda: protocol.data == b"later")
    transport.pause_reading()
    theirs.send(b" and the end")
    theirs.close()
    await asyncio.sleep(0.02)
    assert protocol.seen == ["made"]
    transport.resume_reading()
    await protocol.lost
    assert protocol.data == b"later and the end" and protocol.seen == ["made", "eof", "lost"]


@case
async def the_end_of_the_stream_may_leave_it_open_for_writing():
    transport, protocol, theirs = await pair()
    protocol.keep_open = True
    theirs.send(b"question")
    theirs.shutdown(socket.SHUT_WR)
    await until(lambda: "eof" in protocol.seen)
    assert protocol.data == b"question" and not transport.is_closing()
    await asyncio.sleep(0.01)
    transport.write(b"answer")
    assert await drained(theirs, 6) == b"answer"
    transport.close()
    await protocol.lost
    assert protocol.seen == ["made", "eof", "lost"]
    theirs.close()


@case
async def a_reset_is_reported_once_with_its_error():
    server = socket.create_server(("127.0.0.1", 0))
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_connection(Recorder, *server.getsockname())
    assert transport.get_extra_info("peername") == server.getsockname()
    assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    peer, _ = server.accept()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with handled() as told:
        peer.close()
        error = await protocol.lost
    assert isinstance(error, ConnectionResetError) and error.errno == 104, error
    assert protocol.seen == ["made", "lost"] and not told
    for _ in range(10):
        transport.write(b"too late")
    transport.close()
    transport.abort()
    await asyncio.sleep(0.01)
    assert protocol.seen == ["made", "lost"]
    server.close()


@case
async def writing_to_nobody_ends_the_connection():
    transport, protocol, theirs = await pair()
    transport.pause_reading()
    theirs.close()
    transport.write(b"hello?")
    assert isinstance(await protocol.lost, BrokenPipeError)


@case
async def abort_drops_what_was_not_sent():
    transport, protocol, theirs = await pair()
    transport.write(b"x" * 10_000_000)
    transport.abort()
    assert transport.get_write_buffer_size() == 0 and transport.is_closing()
    assert await protocol.lost is None
    theirs.close()


@case
async def errors_of_the_protocol_reach_the_handler_and_end_the_connection():
    class Failing(Recorder):
        def data_received(self, data):
            raise ZeroDivisionError

    transport, protocol, theirs = await pair(Failing)
    with handled() as told:
        theirs.send(b"x")
        assert isinstance(await protocol.lost, ZeroDivisionError)
    assert [context["message"] for context in told] == [
        "Fatal error: protocol.data_received() call failed."
    ]
    assert told[0]["transport"] is transport and told[0]["protocol"] is protocol
    theirs.close()


@case
async def what_connection_made_raises_is_reported():
    class Failing(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            raise ZeroDivisionError

    with handled() as told:
        transport, protocol, theirs = await pair(Failing)
    assert isinstance(told[0]["exception"], ZeroDivisionError)
    theirs.send(b"still alive")
    await until(lambda: protocol.data == b"still alive")
    transport.close()
    await protocol.lost
    theirs.close()


class Buffered(asyncio.BufferedProtocol):
    def __init__(self, buffer):
        self.buffer = buffer
        self.data = b""
        self.lost = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint):
        assert sizehint == -1
        return self.buffer

    def buffer_updated(self, count):
        self.data += bytes(memoryview(self.buffer).cast("B")[:count])

    def connection_lost(self, exc):
        self.lost.set_result(exc)


@case
async def a_buffered_protocol_is_read_into_its_buffer():
    import array

    for buffer in [bytearray(7), memoryview(bytearray(5)), array.array("i", [0, 0])]:
        transport, protocol, theirs = await pair(lambda: Buffered(buffer))
        theirs.send(b"0123456789" * 10)
        await until(lambda: protocol.data == b"0123456789" * 10)
        theirs.close()
        assert await protocol.lost is None
    for buffer, kind in [(bytearray(), RuntimeError), (b"read-only", Exception)]:
        transport, protocol, theirs = await pair(lambda: Buffered(buffer))
        with handled():
            theirs.send(b"x")
            assert isinstance(await protocol.lost, kind)
        theirs.close()


@case
async def protocols_can_be_replaced_while_they_receive():
    second = Recorder()

    class First(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.set_protocol(second)

    transport, first, theirs = await pair(First)
    theirs.send(b"one")
    await until(lambda: first.data == b"one")
    theirs.send(b"two")
    await until(lambda: second.data == b"two")
    third = Buffered(bytearray(10))
    transport.set_protocol(third)
    theirs.send(b"three")
    await until(lambda: third.data == b"three")
    transport.close()
    await third.lost
    theirs.close()


@case
async def it_can_be_closed_from_its_callbacks():
    class Closing(Recorder):
        def data_received(self, data):
            self.data += data
            getattr(self.transport, how)()

    for how in ["close", "abort"]:
        transport, protocol, theirs = await pair(Closing)
        theirs.send(b"x")
        assert await protocol.lost is None
        assert protocol.seen == ["made", "lost"]
        theirs.close()


@case
async def callbacks_see_the_context_in_which_it_was_made():
    variable = contextvars.ContextVar("variable", default="outside")
    seen = []

    class Looking(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            seen.append(variable.get())

        def data_received(self, data):
            super().data_received(data)
            seen.append(variable.get())
            variable.set("changed by a callback")

    variable.set("made")
    transport, protocol, theirs = await pair(Looking)
    variable.set("later")
    theirs.send(b"x")
    await until(lambda: len(seen) == 2)
    assert seen == ["made", "made"] and variable.get() == "later", seen
    transport.close()
    await protocol.lost
    theirs.close()


@case
async def much_arrives_whole():
    transport, protocol, theirs = await pair()
    data = os.urandom(1 << 16) * 50
    await asyncio.get_running_loop().sock_sendall(theirs, data)
    theirs.close()
    await protocol.lost
    assert protocol.data == data


@case
async def streams_over_unix_sockets_echo():
    async def echo(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    path = os.path.join(tempfile.mkdtemp(), "socket")
    server = await asyncio.start_unix_server(echo, path)
    reader, writer = await asyncio.open_unix_connection(path)
    data = os.urandom(1000) * 3000
    reading = asyncio.ensure_future(reader.readexactly(len(data)))
    writer.write(data)
    await writer.drain()
    assert await reading == data
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


@case
async def a_closed_transport_is_forgotten():
    transport, protocol, theirs = await pair()
    transport.close()
    await protocol.lost
    watched = weakref.ref(transport)
    del transport, protocol
    await asyncio.sleep(0.01)
    gc.collect()
    assert watched() is None
    theirs.close()


@case
async def an_open_transport_is_kept():
    _, protocol, theirs = await pair()
    watched = weakref.ref(protocol.transport)
    del _, protocol
    gc.collect()
    assert watched() is not None
    theirs.send(b"x")
    await until(lambda: watched()._protocol.data == b"x")
    theirs.close()
    await until(lambda: gc.collect() is not None and watched() is None)


@case
async def timers_are_precise():
    best = 1.0
    for _ in range(20):
        start = time.monotonic()
        await asyncio.sleep(0.001)
        best = min(best, time.monotonic() - start)
    assert 0.001 <= best < 0.0015, best


@case
async def cancelled_timers_hold_up_nothing():
    loop = asyncio.get_running_loop()
    for _ in range(1000):
        await asyncio.wait_for(asyncio.sleep(0), 5)
    start = time.monotonic()
    loop.call_later(0.001, print).cancel()
    await asyncio.sleep(0.005)
    assert 0.005 <= time.monotonic() - start < 0.1


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    status, answer = 200, "kept"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await CASES[scope["path"].lstrip("/")]()
    except BaseException:
        status, answer = 500, traceback.format_exc()
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": answer.encode()})
