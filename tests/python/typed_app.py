"""Applications as a type checker sees them; checked by mypy --strict, never run."""

import hostler
from hostler import hooks, tasks
from hostler.rsgi import HTTPProtocol, ProtocolClosed, Scope, WebsocketMessageType, WebsocketProtocol
from hostler.testing import Server, serve
from hostler.tasks import testing


@hooks.worker_ready
def warm() -> None: ...


async def requests(scope: Scope, protocol: HTTPProtocol) -> None:
    if scope.deadline is not None:
        scope.deadline.extend(30.0)
    body: bytes = await protocol()
    accepted: str = scope.headers.get("accept") or ", ".join(scope.headers.get_all("x-accept"))
    protocol.response_str(200, [("content-type", accepted)], body.decode())
    transport = protocol.response_stream()
    try:
        async for piece in protocol:
            await transport.send_bytes(piece)
    except ProtocolClosed:
        await protocol.client_disconnect()


async def sockets(scope: Scope, protocol: WebsocketProtocol) -> None:
    transport = await protocol.accept()
    while (message := await transport.receive()).kind != WebsocketMessageType.close:
        if isinstance(message.data, str):
            await transport.send_str(message.data)
    protocol.close(1000)


def starts() -> tuple[str, int]:
    with serve("shop:app", "--log", workers=2, env={"A": "b"}) as server:
        running: Server = server
        return running.url + hostler.__version__, running.port


@tasks.task(retries=3, timeout="5m")
def total(items: list[int]) -> int:
    tasks.current_task().progress(0.5)
    return sum(items)


async def enqueue() -> int:
    handle: tasks.Handle[int] = total.delay([1, 2])
    later = await total.with_options(countdown=60).delay_async(items=[3])
    return await handle + later.get(timeout=5.0)


def in_a_test() -> int:
    with testing.held() as queue:
        handle = total.delay([1, 2])
        names: list[str] = [waiting.name for waiting in queue.waiting]
        return queue.run() + handle.get() + len(names)


@tasks.cron("*/5 * * * *", timezone="Europe/Berlin")
def tidy() -> None: ...
