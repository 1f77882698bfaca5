"""Times of a cron expression in a time zone, as instants. Pure.

An expression speaks of the clock on the wall, which stands still for nobody twice a year. Decided here:

- An hour that is `*` follows real time: where the clock goes back, both hours have their times; where it goes forward,
  the hour that is not there has none.
- Any other hour means times of the day, each once a day: where the clock goes back, the first of the two counts; what
  falls into the hour that is not there comes at the moment in which the clock goes forward, all of it as one time.

Otherwise it is what cron(5) says: five fields, names of months and days, and the two fields of days are joined by "or"
when both are restricted. Also `L` for the last and `n#k` for the k-th of a month.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, CroniterError, croniter

LONGEST = 200
WORDS = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}
_NUMBERS = r"[0-9*,/-]+"
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_DAYS = "sun|mon|tue|wed|thu|fri|sat"
# Nothing that is drawn by lot or hashed: two leaders must read the same times.
_FIELDS = (
    re.compile(_NUMBERS),
    re.compile(_NUMBERS),
    re.compile(r"[0-9*,/?L-]+", re.IGNORECASE),
    re.compile(rf"([0-9*,/-]|{_MONTHS})+", re.IGNORECASE),
    re.compile(rf"([0-9*,/?#L-]|{_DAYS})+", re.IGNORECASE),
)
_LONGEST_OVERLAP = timedelta(hours=3)
_FIRST_WINDOW = 3600.0


class Cron:
    """An expression and a zone of the IANA time zone database. ValueError with what is wrong."""

    def __init__(self, expression: str, zone: str = "UTC") -> None:
        self._expression = _checked(expression)
        self._zone = _zone(zone)
        self._follows = self._expression.split()[1] in ("*", "*/1")
        if next(self.after(0.0), None) is None:
            raise ValueError(f"{expression!r} is never due: there is no such day")

    def after(self, instant: float) -> Iterator[float]:
        """Due times later than the instant, in order, without end (or until none comes for 50 years)."""
        begin = datetime.fromtimestamp(int(instant) - 1, UTC)
        around = (begin - _LONGEST_OVERLAP, begin + _LONGEST_OVERLAP)
        offsets = {moment.astimezone(self._zone).utcoffset() for moment in around}
        # Beside a change, the second of two equal times may still be to come though the first has passed.
        begin -= _LONGEST_OVERLAP if len(offsets) > 1 else timedelta()
        waiting: list[float] = []
        last = instant
        for wall in self._walls(begin.astimezone(self._zone).replace(tzinfo=None)):
            instants = self._instants(wall)
            while instants and waiting and waiting[0] <= instants[0]:  # whatever comes later is not earlier than this
                if (found := heapq.heappop(waiting)) > last:
                    yield (last := found)
            for each in instants:
                heapq.heappush(waiting, each)
        yield from (found for found in sorted(set(waiting)) if found > last)

    def between(self, after: float, until: float) -> list[float]:
        """Due times later than `after` and not later than `until`."""
        found = []
        for instant in self.after(after):
            if instant > until:
                break
            found.append(instant)
        return found

    def latest(self, after: float, until: float, count: int) -> tuple[list[float], bool]:
        """The last `count` of `between`, and whether there are more. Looks no further back than it must."""
        window = _FIRST_WINDOW
        while True:
            begin = max(after, until - window)
            found = self.between(begin, until)
            if len(found) > count or begin == after:
                return found[-count:], len(found) > count
            window *= 2

    def next_times(self, after: float, count: int) -> list[float]:
        """The next `count` due times."""
        return [instant for instant, _ in zip(self.after(after), range(count), strict=False)]

    def shown(self, instant: float) -> str:
        """The instant on the zone's wall, with its distance from UTC."""
        return datetime.fromtimestamp(instant, self._zone).isoformat(" ", "seconds")

    def _walls(self, start: datetime) -> Iterator[datetime]:
        walls = croniter(self._expression, start, ret_type=datetime)
        try:
            while True:
                yield walls.get_next()
        except CroniterBadDateError:
            return

    def _instants(self, wall: datetime) -> tuple[float, ...]:
        early, late = (wall.replace(tzinfo=self._zone, fold=fold) for fold in (0, 1))
        offset, later_offset = _seconds(early), _seconds(late)
        if offset == later_offset:
            return (early.timestamp(),)
        if offset > later_offset:
            return (early.timestamp(), late.timestamp()) if self._follows else (early.timestamp(),)
        return () if self._follows else (self._change(late.timestamp(), early.timestamp()),)

    def _change(self, before: float, after: float) -> float:
        """The second in which the clock goes forward: later than `before` and not later than `after`."""
        low, high = int(before), int(after)
        old = self._offset(low)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._offset(middle) == old else (low, middle)
        return float(high)

    def _offset(self, instant: float) -> float:
        return _seconds(datetime.fromtimestamp(instant, self._zone))


def _seconds(moment: datetime) -> float:
    offset = moment.utcoffset()
    assert offset is not None
    return offset.total_seconds()


def _checked(expression: str) -> str:
    fields = WORDS.get(expression.strip(), expression).split()
    if len(expression) > LONGEST or len(fields) != len(_FIELDS):
        names = ", ".join(WORDS)
        raise ValueError(f"must be five fields (minute, hour, day of the month, month, day of the week) or {names}")
    wrong = [field for field, allowed in zip(fields, _FIELDS, strict=True) if allowed.fullmatch(field) is None]
    if wrong:
        raise ValueError(f"{wrong[0]!r} cannot be read: numbers, names, '*', ',', '-', '/', 'L' and '#' are known")
    joined = " ".join(fields)
    try:
        croniter(joined, datetime(2000, 1, 1))
    except CroniterError as error:
        raise ValueError(f"{expression!r} cannot be read: {error}") from error
    return joined


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError) as error:
        raise ValueError(f"{name!r} is no time zone that is known here; write it as in Europe/Berlin") from error
