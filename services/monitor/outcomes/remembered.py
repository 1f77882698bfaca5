"""A mapping that forgets: bounded in number, and everything in it stays at least for `seconds` while there is room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class Remembered(Generic[KeyT, ValueT]):
    """Two dictionaries, of which the older is dropped as a whole when the younger is old or full.

    So no entry is ever moved or looked for by age, and memory is at most that of `limit` entries.
    """

    def __init__(self, limit: int, seconds: float, clock: Callable[[], float]) -> None:
        self._half = max(1, limit // 2)
        self._seconds = seconds
        self._clock = clock
        self._young: dict[KeyT, ValueT] = {}
        self._old: dict[KeyT, ValueT] = {}
        self._since = clock()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __contains__(self, key: KeyT) -> bool:
        return self.get(key) is not None

    def put(self, key: KeyT, value: ValueT) -> None:
        """Remembers the value from now on."""
        self._turn()
        self._young[key] = value

    def get(self, key: KeyT) -> ValueT | None:
        """The value, if it is still known."""
        found = self._young.get(key)
        return self._old.get(key) if found is None else found

    def pop(self, key: KeyT) -> ValueT | None:
        """The value, which is known no more."""
        young, old = self._young.pop(key, None), self._old.pop(key, None)
        return old if young is None else young

    def forget(self, chosen: Callable[[KeyT], bool]) -> None:
        """All entries with such keys."""
        for entries in (self._young, self._old):
            for key in [key for key in entries if chosen(key)]:
                del entries[key]

    def _turn(self) -> None:
        age = self._clock() - self._since
        if len(self._young) >= self._half or age >= self._seconds:
            self._old = {} if age >= 2 * self._seconds else self._young
            self._young = {}
            self._since = self._clock()
