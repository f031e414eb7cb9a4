"""Applications that wait in `receive` in every way but the usual one."""

import asyncio
import sys

KEPT = []


def tell(text):
    print(text, file=sys.stderr, flush=True)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await globals()["on_" + scope["path"].strip("/")](scope, receive, send)


async def answer(send, text):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})


async def read_body(receive):
    body = b""
    while True:
        event = await receive()
        assert event["type"] == "http.request", event
        body += event["body"]
        if not event["more_body"]:
            return body.decode()


async def impatient(receive):
    """`receive` with so little time that it is cancelled."""
    try:
        return await asyncio.wait_for(receive(), 0.05)
    except asyncio.TimeoutError:
        return None


async def on_cancelled(scope, receive, send):
    for _ in range(5):
        assert await impatient(receive) is None
    tell("gave up")
    await answer(send, await read_body(receive))


async def on_two(scope, receive, send):
    """Two tasks wait; a third one is cancelled between them."""
    first, cancelled, second = [asyncio.create_task(receive()) for _ in range(3)]
    await asyncio.sleep(0.02)
    cancelled.cancel()
    await asyncio.sleep(0)
    tell("both wait")
    texts = [(await task)["body"].decode() for task in (first, second)]
    await answer(send, "|".join(texts))


async def on_raced(scope, receive, send):
    """Cancels a task in the moment in which it has been woken and does not run yet."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(receive())
    cancelled = loop.create_future()

    def watch():
        waiter = task._fut_waiter
        if waiter is not None and waiter.done():
            task.cancel()
            cancelled.set_result(None)
        elif task.done():
            cancelled.set_result(None)
        else:
            loop.call_soon(watch)

    loop.call_soon(watch)
    await asyncio.sleep(0.02)
    tell("races")
    await cancelled
    try:
        got = (await task)["body"].decode()
    except asyncio.CancelledError:
        got = ""
    await answer(send, got + await read_body(receive))


async def on_kept(scope, receive, send):
    """Keeps `receive` and `send`, and calls them after the request."""
    KEPT.append((receive, receive(), send))
    body = await read_body(receive)
    await answer(send, body)
    events = [(await receive())["type"] for _ in range(2)]
    tell(f"then {events}")


async def on_reuse(scope, receive, send):
    """Uses what earlier requests left."""
    old_receive, never_awaited, old_send = KEPT[-1]
    events = [(await old_receive())["type"], (await never_awaited)["type"]]
    try:
        await old_send({"type": "http.response.body", "body": b"late"})
    except RuntimeError:
        events.append("RuntimeError")
    await answer(send, " ".join(events))


async def on_hundreds(scope, receive, send):
    await read_body(receive)
    tasks = [asyncio.create_task(receive()) for _ in range(300)]
    await asyncio.sleep(0.02)
    for task in tasks[::3]:
        task.cancel()
    tell("hundreds wait")
    done = await asyncio.gather(*tasks, return_exceptions=True)
    told = [event["type"] for event in done if isinstance(event, dict)]
    tell(f"{len(told)} × {set(told)}")


async def on_while_sending(scope, receive, send):
    """Another task waits for the client's end while this one streams."""
    listening = asyncio.create_task(receive())
    assert (await listening)["more_body"] is False
    listening = asyncio.create_task(receive())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(100):
        await asyncio.create_task(send({"type": "http.response.body", "body": bytes(50_000), "more_body": True}))
        assert not listening.done()
    await send({"type": "http.response.body", "body": b""})
    tell(f"afterwards {(await listening)['type']}")


async def on_callbacks(scope, receive, send):
    """Responds from a done-callback of a task, and receives in another one."""
    done = asyncio.get_running_loop().create_future()

    def finish(task):
        send({"type": "http.response.start", "status": 200, "headers": []})
        send({"type": "http.response.body", "body": task.result()["body"]})
        receive()
        done.set_result(None)

    asyncio.create_task(receive()).add_done_callback(finish)
    await done


async def on_websocket(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    for _ in range(5):
        assert await impatient(receive) is None
    first, cancelled, second = [asyncio.create_task(receive()) for _ in range(3)]
    await asyncio.sleep(0.02)
    cancelled.cancel()
    await asyncio.sleep(0)
    await send({"type": "websocket.send", "text": "both wait"})
    await send({"type": "websocket.send", "text": f"{(await first)['text']}|{(await second)['text']}"})
    tasks = [asyncio.create_task(receive()) for _ in range(300)]
    events = await asyncio.gather(*tasks)
    tell(f"{len(events)} × {({event['type'] for event in events})}")
