import asyncio
import os
from collections.abc import Iterable
from typing import NoReturn, Protocol

__version__: str

class RequestTimeout(BaseException): ...

class EventLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None: ...

class RequestDeadline(Protocol):
    """`scope["extensions"]["hostler.deadline"]`, `environ["hostler.deadline"]`, and `scope.deadline` of RSGI."""

    def extend(self, seconds: float) -> None: ...

def run(
    app: object,
    **options: str | float | bool | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None,
) -> NoReturn: ...
