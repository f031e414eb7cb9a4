"""Served by `cargo xtask torture`: RSGI, over HTTP and WebSocket."""

import asyncio
import time

from granian.rsgi import ProtocolClosed, ProtocolError, WebsocketMessageType

from torture_body import Ask, sockets


class App:
    async def __rsgi__(self, scope, protocol):
        if scope.proto == "ws":
            sockets.add(id(protocol))
            try:
                await echo(protocol)
            finally:
                sockets.discard(id(protocol))
        else:
            await answer(Ask(scope.path, scope.query_string), protocol)


app = App()


async def echo(protocol):
    transport = await protocol.accept()
    try:
        while (message := await transport.receive()).kind != WebsocketMessageType.close:
            if message.kind == WebsocketMessageType.bytes:
                await transport.send_bytes(message.data)
            else:
                await transport.send_str(message.data)
    except (ProtocolClosed, ProtocolError):
        return
    protocol.close()


async def read(ask, protocol):
    """Reads the body; False if the client broke off."""
    try:
        async for piece in protocol:
            ask.feed(piece)
            if ask.slowread:
                await asyncio.sleep(ask.slowread / 1000)
    except (ProtocolClosed, ProtocolError, OSError):
        return False
    ask.body_ended()
    return True


async def answer(ask, protocol):
    if not ask.early and not await read(ask, protocol):
        return protocol.response_empty(400, [("x-number", str(ask.number))])
    if ask.wait:
        await asyncio.sleep(ask.wait / 1000)
    if ask.block:
        time.sleep(ask.block / 1000)
    if ask.pieces <= 1 and ask.declared:
        protocol.response_bytes(200, ask.headers(), b"".join(ask.answer()))
    else:
        try:
            transport = protocol.response_stream(200, ask.headers())
            for piece in ask.answer():
                await transport.send_bytes(piece)
                if ask.slow:
                    await asyncio.sleep(ask.slow / 1000)
        except (ProtocolClosed, ProtocolError):
            return
    if ask.background:
        await asyncio.sleep(ask.background / 1000)
