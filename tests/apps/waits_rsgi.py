"""RSGI applications that wait in every way but the usual one."""

import asyncio
import sys

TEXT = [("content-type", "text/plain")]
KEPT = []


def tell(text):
    print(text, file=sys.stderr, flush=True)


async def app(scope, protocol):
    await globals()["on_" + scope.path.strip("/")](scope, protocol)


async def gives_up(awaitable):
    try:
        await asyncio.wait_for(awaitable, 0.05)
    except asyncio.TimeoutError:
        return True
    return False


async def on_whole(scope, protocol):
    """The whole body, on the second attempt."""
    for _ in range(3):
        assert await gives_up(protocol())
    tell("gave up")
    protocol.response_bytes(200, TEXT, await protocol())


async def on_pieces(scope, protocol):
    pieces = protocol.__aiter__()
    for _ in range(3):
        assert await gives_up(pieces.__anext__())
    first, cancelled, second = [asyncio.create_task(pieces.__anext__()) for _ in range(3)]
    await asyncio.sleep(0.02)
    cancelled.cancel()
    await asyncio.sleep(0)
    tell("both wait")
    got = [(await task).decode() for task in (first, second)]
    got += [piece.decode() async for piece in protocol]
    protocol.response_str(200, TEXT, "|".join(got))


async def on_watch(scope, protocol):
    for _ in range(3):
        assert await gives_up(protocol.client_disconnect())
    watching = [asyncio.ensure_future(protocol.client_disconnect()) for _ in range(300)]
    watching[0].cancel()
    tell("hundreds watch")
    await asyncio.gather(*watching[1:])
    await protocol.client_disconnect()
    tell("all were told")
    protocol.response_empty(200)


async def on_afterwards(scope, protocol):
    """Waits for the disconnect after the response."""
    protocol.response_str(200, TEXT, "answered")
    await protocol.client_disconnect()
    tell("the client left afterwards")


async def on_kept(scope, protocol):
    """Responds before the body is read, and keeps the protocol."""
    KEPT.append(protocol)
    protocol.response_str(200, TEXT, "kept")


async def on_late(scope, protocol):
    """Reads what is left of a request with a response."""
    wrong = []
    for attempt in (KEPT[-1], lambda: KEPT[-1].client_disconnect()):
        try:
            await asyncio.wait_for(attempt(), 20)
            wrong.append("nothing")
        except Exception as error:
            wrong.append(type(error).__name__)
    protocol.response_str(200, TEXT, " ".join(wrong))


async def on_websocket(scope, protocol):
    transport = await protocol.accept()
    for _ in range(3):
        assert await gives_up(transport.receive())
    first, cancelled, second = [asyncio.create_task(transport.receive()) for _ in range(3)]
    await asyncio.sleep(0.02)
    cancelled.cancel()
    await asyncio.sleep(0)
    await transport.send_str("both wait")
    await transport.send_str(f"{(await first).data}|{(await second).data}")
    ends = await asyncio.gather(*[asyncio.create_task(transport.receive()) for _ in range(300)])
    tell(f"{len(ends)} × {({end.kind for end in ends})}")
