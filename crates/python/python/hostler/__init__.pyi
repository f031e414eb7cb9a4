import asyncio
from typing import Protocol

__version__: str

class RequestTimeout(BaseException): ...

class EventLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None: ...

class RequestDeadline(Protocol):
    """`scope["extensions"]["hostler.deadline"]`, `environ["hostler.deadline"]`, and `scope.deadline` of RSGI."""

    def extend(self, seconds: float) -> None: ...
