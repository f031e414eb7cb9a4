"""How a task is run, as it is declared, and as it travels."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min|m|h|d|)\s*")
_PERIODS = {"s": 1000, "sec": 1000, "second": 1000, "m": 60_000, "min": 60_000, "minute": 60_000, "h": 3_600_000, "hour": 3_600_000, "d": 86_400_000, "day": 86_400_000}

#: 9999-12-31 23:59:59 UTC ends then, in seconds since 1970.
_YEAR_10000 = 253_402_300_800
_LONGEST_TEXT = 1000
#: In a period of a rate.
_MOST_STARTS = 1_000_000

Duration = float | int | str | datetime.timedelta


def seconds(value: Duration, what: str) -> float:
    """A duration in seconds, from a number, a text such as `"5m"`, or a timedelta."""
    if isinstance(value, datetime.timedelta):
        number = value.total_seconds()
    elif isinstance(value, str):
        match = _DURATION.fullmatch(value)
        if match is None:
            raise ValueError(f"{what}={value!r} is no duration: a number of seconds, or a text such as '500ms', '90s', '5m', '2h', '7d'")
        number = float(match[1]) * _UNITS[match[2]]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value)
    else:
        raise TypeError(f"{what} is a number of seconds, a text such as '5m', or a timedelta, not {type(value).__name__}")
    if not 0 <= number < 1e10:
        raise ValueError(f"{what}={value!r} is out of range: 0 to 10,000,000,000 seconds")
    return number


def millis(value: Duration, what: str) -> int:
    return round(seconds(value, what) * 1000)


@dataclass(frozen=True)
class Backoff:
    """The pause before a task is tried again: `base` seconds, `factor` times longer each time, `most` seconds at the longest, of which a
    random part as large as `jitter` (0 to 1) is left out.
    """

    base: float = 1.0
    factor: float = 2.0
    most: float = 600.0
    jitter: float = 0.5

    def _travels(self) -> dict[str, Any]:
        for what, number, least, most in (("factor", self.factor, 1.0, 1000.0), ("jitter", self.jitter, 0.0, 1.0)):
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                raise TypeError(f"{what} of Backoff is a number, not {type(number).__name__}")
            if not least <= number <= most:
                raise ValueError(f"{what}={number!r} of Backoff is out of range: {least:g} to {most:g}")
        base, most = millis(self.base, "base"), millis(self.most, "most")
        return {"base": base, "factor": float(self.factor), "most": most, "jitter": float(self.jitter)}


def backoff(value: Backoff | Duration | None) -> Backoff:
    """A number is a pause that stays the same."""
    if value is None:
        return Backoff()
    if isinstance(value, Backoff):
        return value
    pause = seconds(value, "backoff")
    return Backoff(base=pause, factor=1.0, most=pause, jitter=0.0)


def rate(value: str | None) -> dict[str, int] | None:
    """`"10/s"`, `"100/m"`, `"5/30s"`."""
    if value is None:
        return None
    count, slash, period = value.partition("/")
    try:
        if not slash:
            raise ValueError
        length = _PERIODS.get(period.strip()) or millis(period.strip(), "rate")
        number = int(count)
    except ValueError:
        number = length = 0
    if not 0 < number <= _MOST_STARTS or length <= 0:
        raise ValueError(f"rate={value!r} is no rate: a count and a period, such as '10/s', '100/m', '5/30s', of {_MOST_STARTS:,} starts at the most")
    return {"count": number, "period": length}


def moment(value: datetime.datetime | float, what: str) -> int:
    """A time in milliseconds since 1970. A datetime without a zone is in the machine's."""
    if isinstance(value, datetime.datetime):
        value = value.timestamp()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{what} is a datetime, or a number of seconds since 1970, not {type(value).__name__}")
    if not 0 <= value < _YEAR_10000:
        raise ValueError(f"{what}={value!r} is out of range: seconds since 1970, up to the year 9999")
    return round(value * 1000)


def name(value: str, what: str) -> str:
    """Of a task or a queue: it stands in lines of logs and lists."""
    if not text(value, what).isprintable():
        raise ValueError(f"{what}={value!r} has characters that cannot be printed")
    return value


def text(value: str, what: str) -> str:
    """A name or a key."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is a text, not {type(value).__name__}")
    if not 0 < len(value) <= _LONGEST_TEXT:
        raise ValueError(f"{what} has {len(value)} characters: 1 to {_LONGEST_TEXT} are possible")
    if readable(value) != value:
        raise ValueError(f"{what}={value!r} cannot be written as UTF-8")
    return value


def priority(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"priority is a whole number, not {type(value).__name__}")
    if not -(1 << 31) <= value < 1 << 31:
        raise ValueError(f"priority={value} is out of range: -2,147,483,648 to 2,147,483,647")
    return int(value)


def readable(value: str) -> str:
    """The text, with a question mark for what UTF-8 does not have (halves of surrogate pairs)."""
    return value.encode(errors="replace").decode()
