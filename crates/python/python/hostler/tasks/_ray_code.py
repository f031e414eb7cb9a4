"""Where Ray's workers find the function of a task, and which version of its code they are to have."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from hostler.tasks import _task

#: So many files say which version it is.
_MOST = 5000
_APART = {"site-packages", "node_modules", "__pycache__"}


def where(task: Any) -> dict[str, Any]:
    function = task.function
    file = getattr(sys.modules.get(function.__module__), "__file__", None)
    return {"module": _task.module_of(function), "paths": _paths(), "code": _version(file)}


@functools.lru_cache(maxsize=1)
def _paths() -> list[str]:
    return [path or os.getcwd() for path in sys.path]


@functools.lru_cache(maxsize=None)
def _version(file: str | None) -> str:
    """Changes when a file of Python of this program does: workers of Ray that have loaded another one get no tasks of it. It is the same on
    all machines that have the same files.
    """
    digest = hashlib.sha256()
    if file is not None:
        top = _top(os.path.dirname(os.path.abspath(file)))
        for path in _sources(top):
            try:
                with open(path, "rb") as source:
                    digest.update(os.fsencode(os.path.relpath(path, top)) + b"\0" + hashlib.sha256(source.read()).digest())
            except OSError:
                continue
    return digest.hexdigest()[:16]


def _top(folder: str) -> str:
    """The folder of the outermost package."""
    while os.path.exists(os.path.join(folder, "__init__.py")) and os.path.exists(os.path.join(os.path.dirname(folder), "__init__.py")):
        folder = os.path.dirname(folder)
    return folder


def _sources(folder: str) -> Iterator[str]:
    left = _MOST
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _APART and not name.startswith("."))
        for name in sorted(files):
            if name.endswith(".py"):
                left -= 1
                if left < 0:
                    return
                yield os.path.join(place, name)
