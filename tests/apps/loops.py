"""Event loops of the application's own: made in one thread, run in others."""

import asyncio
import socket
import threading

import hostler


def in_thread(work):
    """What `work` returns, or raises, in another thread."""
    answers = []

    def run():
        try:
            answers.append(work())
        except Exception as error:
            answers.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    return answers[0] if answers else "it hangs"


def moved(_):
    """Made here, run there, given work from here meanwhile, closed here."""
    loop = hostler.EventLoop()
    future = loop.create_future()
    thread = threading.Thread(target=loop.run_until_complete, args=(future,))
    thread.start()
    loop.call_soon_threadsafe(loop.call_later, 0.01, future.set_result, "moved")
    thread.join(20)
    loop.close()
    return future.result()


def wandering(_):
    """Run in one thread after another."""
    loop = hostler.EventLoop()
    answers = [in_thread(lambda: loop.run_until_complete(asyncio.sleep(0.01, n))) for n in range(3)]
    answers.append(in_thread(lambda: loop.run_until_complete(talk(n="again"))))
    loop.close()
    return answers


async def talk(n):
    reader, writer = await asyncio.open_connection(sock=await echoing())
    writer.write(f"{n}\n".encode())
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return line.decode().strip()


async def echoing():
    """A socket that sends back what it is sent."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)

    def echo():
        loop.remove_reader(theirs)
        theirs.send(theirs.recv(100))
        theirs.close()

    loop = asyncio.get_running_loop()
    loop.add_reader(theirs, echo)
    return ours


def bound(_):
    """Run in another thread than the one in which its open transport is at home."""
    loop = hostler.EventLoop()
    kept = []

    async def connect():
        ours, theirs = socket.socketpair()
        kept.extend([await asyncio.open_connection(sock=ours), theirs])
        return "connected"

    first = in_thread(lambda: loop.run_until_complete(connect()))
    return [first, in_thread(lambda: loop.run_until_complete(asyncio.sleep(0)))]


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    body = str(globals()[scope["path"].strip("/")](None)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
