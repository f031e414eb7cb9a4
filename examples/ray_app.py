"""A Starlette site with Ray: an actor that counts for all web workers, and work that takes as many processes as there are:
hostler ray_app:app --workers 2, in a cluster (`ray start --head`).
"""

import asyncio
import contextlib
import os

import ray
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


@ray.remote(num_cpus=0)
class Counter:
    def __init__(self):
        self.value = 0

    def increment(self):
        self.value += 1
        return self.value


@ray.remote(num_cpus=0.25)
def burst(n):
    return os.getpid(), sum(number * number for number in range(n))


@contextlib.asynccontextmanager
async def lifespan(app):
    # In each worker, after it was forked: nothing of Ray survives a fork.
    await asyncio.to_thread(ray.init, os.environ.get("RAY_ADDRESS", "auto"), namespace="site", log_to_driver=False)
    app.state.counter = Counter.options(name="counter", lifetime="detached", get_if_exists=True).remote()
    yield
    ray.shutdown()


async def count(request):
    return JSONResponse({"count": await request.app.state.counter.increment.remote(), "pid": os.getpid()})


async def work(request):
    done = await asyncio.gather(*(burst.remote(200_000) for _ in range(int(request.query_params.get("parts", 8)))))
    return JSONResponse({"processes": len({pid for pid, _ in done}), "parts": len(done)})


app = Starlette(lifespan=lifespan, routes=[Route("/count", count), Route("/work", work)])
