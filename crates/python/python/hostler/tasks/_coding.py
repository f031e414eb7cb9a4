"""How arguments and results are written: JSON, or pickle where a task asks for it."""

from __future__ import annotations

import json
import pickle
from typing import Any

from hostler.tasks._errors import NotSerializable
from hostler.tasks._options import readable

JSON, PICKLE = "json", "pickle"
CODINGS = (JSON, PICKLE)


def dump(value: Any, coding: str, what: str) -> bytes:
    if coding == PICKLE:
        try:
            return pickle.dumps(value, protocol=5)
        except Exception as error:
            raise NotSerializable(f"{what} cannot be pickled: {text_of(error)}") from error
    try:
        return json.dumps(value, separators=(",", ":")).encode()
    except Exception as error:
        hint = "pass what JSON has (numbers, texts, lists, dicts), such as an id instead of an object, or declare the task with serializer='pickle'"
        raise NotSerializable(f"{what} cannot be written as JSON: {text_of(error)}; {hint}") from error


def text_of(error: BaseException) -> str:
    """What it says, whatever its `__str__` does."""
    try:
        return readable(str(error))
    except Exception as fault:
        return f"(its text cannot be had: {type(fault).__name__} in {type(error).__name__}.__str__)"


def load(data: bytes, coding: str) -> Any:
    if coding == PICKLE:
        # Only what a task that is declared so has written, into a file that is its user's alone.
        return pickle.loads(data)
    return json.loads(data) if data else None


def arguments(args: tuple[Any, ...], kwargs: dict[str, Any], coding: str, name: str) -> bytes:
    if not args and not kwargs and coding == JSON:
        return b""
    return dump([args, kwargs], coding, f"the arguments of {name}")


def read_arguments(data: bytes, coding: str) -> tuple[list[Any], dict[str, Any]]:
    if not data:
        return [], {}
    args, kwargs = load(data, coding)
    return args, kwargs
