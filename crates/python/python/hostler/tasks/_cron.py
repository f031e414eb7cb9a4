"""Schedules of engines that have no clock of their own: when a cron expression is due."""

from __future__ import annotations

import datetime
import re
import time
import zoneinfo

from hostler.tasks._errors import Unsupported

_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_UTC = datetime.timezone.utc
#: The longest time between two ticks: February 29th may be eight years away.
_FAR = 366 * 8


def check(expression: str, zone: str) -> None:
    """Raises a ValueError if this is no expression or no zone, or one that never ticks."""
    try:
        Cron(expression, "UTC")
        zoneinfo.ZoneInfo(zone)
    except Unsupported as error:
        if not _has_more_than_others(expression):
            raise ValueError(str(error.__cause__)) from None
    except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError) as error:
        # A machine may have none: the keeper has some of its own.
        if zoneinfo.available_timezones():
            raise ValueError(f"timezone={zone!r} is no time zone: {error}") from None
    else:
        if Cron(expression, zone).after(time.time()) is None:
            raise ValueError(f"{expression!r} never ticks: there is no such day")


def _has_more_than_others(expression: str) -> bool:
    """Whether it has L (last), W (weekday) or # (the nth), which are not looked at here."""
    return re.search("[lw#]", re.sub("[a-z]{3}", "", expression.lower())) is not None


class Cron:
    """Five fields (minute, hour, day, month, weekday), or six with seconds first, in a time zone."""

    def __init__(self, expression: str, zone: str) -> None:
        self.expression = expression
        fields = _NICKNAMES.get(expression.strip().lower(), expression).split()
        if len(fields) == 5:
            fields = ["0", *fields]
        if len(fields) != 6:
            raise self._refused("it has neither five nor six fields")
        try:
            self._zone = _UTC if zone == "UTC" else zoneinfo.ZoneInfo(zone)
        except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError) as error:
            raise ValueError(f"timezone={zone!r} is no time zone of this machine: {error}") from error
        second, minute, hour, day, month, weekday = fields
        self._seconds = self._field(second, 0, 59)
        self._minutes = self._field(minute, 0, 59)
        self._hours = self._field(hour, 0, 23)
        self._days = self._field(day, 1, 31)
        self._months = self._field(month, 1, 12, _MONTHS)
        self._weekdays = {number % 7 for number in self._field(weekday, 0, 7, _DAYS)}
        # As cron(8) has it: if both are restricted, one of them is enough.
        self._either = not day.startswith(("*", "?")) and not weekday.startswith(("*", "?"))

    def after(self, moment: float) -> float | None:
        """The first tick after this time (seconds since 1970); None if there is none."""
        local = datetime.datetime.fromtimestamp(moment, self._zone)
        for ahead in range(_FAR):
            day = local.date() + datetime.timedelta(days=ahead)
            if self._is_day(day):
                tick = self._on(day, moment)
                if tick is not None:
                    return tick
        return None

    def _is_day(self, day: datetime.date) -> bool:
        if day.month not in self._months:
            return False
        in_month, in_week = day.day in self._days, day.isoweekday() % 7 in self._weekdays
        return in_month or in_week if self._either else in_month and in_week

    def _on(self, day: datetime.date, moment: float) -> float | None:
        """The first tick of this day after a time."""
        for hour in self._hours:
            # The last moment of this hour, be it one that happens twice: the clock is set back.
            end = datetime.datetime.combine(day, datetime.time(hour, 59, 59), self._zone).replace(fold=1)
            if end.timestamp() <= moment:
                continue
            for minute in self._minutes:
                for second in self._seconds:
                    tick = self._exists(datetime.datetime.combine(day, datetime.time(hour, minute, second), self._zone))
                    if tick is not None and tick > moment:
                        return tick
        return None

    def _exists(self, local: datetime.datetime) -> float | None:
        """The time, unless the clock is set forward over it."""
        tick = local.timestamp()
        back = datetime.datetime.fromtimestamp(tick, self._zone)
        return tick if back.replace(tzinfo=None) == local.replace(tzinfo=None) else None

    def _field(self, text: str, least: int, most: int, names: tuple[str, ...] = ()) -> list[int]:
        values: set[int] = set()
        for part in text.lower().split(","):
            span, slash, step = part.partition("/")
            every = self._number(step, 1, most, ()) if slash else 1
            if span in ("*", "?"):
                first, last = least, most
            else:
                start, dash, end = span.partition("-")
                first = self._number(start, least, most, names)
                last = self._number(end, least, most, names) if dash else most if slash else first
            if last < first:
                raise self._refused(f"{span!r} ends before it begins")
            values.update(range(first, last + 1, every))
        return sorted(values)

    def _number(self, text: str, least: int, most: int, names: tuple[str, ...]) -> int:
        if text in names:
            return names.index(text) + (1 if names is _MONTHS else 0)
        if not text.isdigit() or not least <= int(text) <= most:
            raise self._refused(f"{text!r} is no number from {least} to {most}")
        return int(text)

    def _refused(self, why: str) -> Unsupported:
        error = Unsupported(f"{self.expression!r} is no schedule that this engine knows: {why}; only the embedded engine knows L, W and #")
        error.__cause__ = ValueError(f"{self.expression!r} is no cron expression: {why}")
        return error
