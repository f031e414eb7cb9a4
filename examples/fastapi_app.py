"""A FastAPI service with sync, async and computing routes: hostler fastapi_app:app --workers 2"""

import asyncio
import os
import time

from fastapi import FastAPI

app = FastAPI()


@app.middleware("http")
async def timing(request, call_next):
    start = time.perf_counter()
    response = await call_next(request)
    response.headers["X-Process-Time"] = str(time.perf_counter() - start)
    return response


@app.get("/")
async def home():
    return {"service": "fastapi", "try": ["/wait", "/asyncwait", "/fib/25", "/docs"]}


@app.get("/wait")
def wait():
    time.sleep(0.05)
    return {"waited": 0.05}


@app.get("/asyncwait")
async def asyncwait():
    await asyncio.sleep(0.05)
    return {"waited": 0.05, "pid": os.getpid()}


def fib_of(n):
    return n if n < 2 else fib_of(n - 1) + fib_of(n - 2)


@app.get("/fib/{n}")
async def fib(n: int):
    return {"fib": fib_of(n), "pid": os.getpid()}
