"""In which order rows are sent, so that those with a common beginning come near each other. Pure.

A provider's prompt cache gives a beginning back for less, from when it has been read until it is
forgotten. So of a group of rows that begin alike one goes ahead, its leader; the others, its
followers, go when the leader is back, one after another.

Rules:

- Rows of one group keep the order of the input. (Equal rows are of one group: which of them is the
  first, as journals count them, so stays as it is.)
- Followers of leaders that are back go first; else the next leader; else, if there is nothing else
  to send, followers of those that are under way. So no more groups are begun than are needed to
  keep the provider busy, and little has to be remembered at a time.
- Groups take turns after `TURN_ROWS`, and a leader that `OVERTAKEN_ROWS` have overtaken goes next:
  so however many rows a group has, all others come.
- Rows that are alone in their groups keep the order of the input.

What stands behind each rule was tried in `benchmarks/prompt_cache.py`. A fixed distance between a
leader and its followers found half as much in a small cache: at the start as many groups must be
begun as the distance is long.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["OVERTAKEN_ROWS", "TURN_ROWS", "Nearness"]

TURN_ROWS = 256
OVERTAKEN_ROWS = 4096

T = TypeVar("T")


class _Group(Generic[T]):
    __slots__ = ("is_back", "key", "leader", "rows", "since", "turn")

    def __init__(self, key: Hashable, since: int) -> None:
        self.key = key
        self.since = since
        """How many rows had been sent when its first one came."""
        self.rows: deque[tuple[int, T]] = deque()
        self.leader: int | None = None
        """The place of the row that went ahead."""
        self.is_back = False
        self.turn = 0
        """Rows that it has sent in its turn."""


class Nearness(Generic[T]):
    """Rows that were read and not sent.

    >>> near = Nearness()
    >>> for place, row in enumerate(("a1", "b1", "c1", "a2", "b2", "a3")):
    ...     near.put(row[0], place, row)
    >>> near.take(), near.take()
    ((0, 'a1'), (1, 'b1'))
    >>> near.came_back(0)
    >>> [near.take()[1] for _ in range(len(near))]
    ['a2', 'a3', 'c1', 'b2']
    """

    def __init__(self) -> None:
        self._groups: dict[Hashable, _Group[T]] = {}
        self._leaderless: deque[_Group[T]] = deque()
        self._under_way: dict[int, _Group[T]] = {}
        """Groups by their leader's place; those with rows are also in `_early`."""
        self._early: dict[int, _Group[T]] = {}
        self._ready: deque[_Group[T]] = deque()
        self._waiting = 0
        self._sent = 0
        self.joined = 0
        """Rows that came to a group which was there."""

    def __len__(self) -> int:
        return self._waiting

    def put(self, key: Hashable, place: int, row: T) -> None:
        """Take a row in, in the order of the input."""
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(key, self._sent)
            self._leaderless.append(group)
        else:
            self.joined += 1
            if group.leader is not None and not group.is_back:
                self._early[group.leader] = group
        group.rows.append((place, row))
        self._waiting += 1

    def take(self) -> tuple[int, T]:
        """The row to be sent next, and its place.

        Raises:
            IndexError: there is none.
        """
        if self._leaderless and (not self._ready or self._is_overtaken()):
            sent = self._lead()
        elif self._ready:
            sent = self._follow()
        else:
            sent = self._go_early()
        self._waiting -= 1
        self._sent += 1
        return sent

    def came_back(self, place: int) -> None:
        """The call for the row at this place is over; nothing happens if it leads no group."""
        group = self._under_way.pop(place, None)
        if group is None:
            return
        self._early.pop(place, None)
        if group.rows:
            group.is_back = True
            self._ready.append(group)
        else:
            del self._groups[group.key]

    def _is_overtaken(self) -> bool:
        return self._sent - self._leaderless[0].since >= OVERTAKEN_ROWS

    def _lead(self) -> tuple[int, T]:
        group = self._leaderless.popleft()
        place, row = group.rows.popleft()
        group.leader = place
        self._under_way[place] = group
        if group.rows:
            self._early[place] = group
        return place, row

    def _follow(self) -> tuple[int, T]:
        group = self._ready[0]
        sent = group.rows.popleft()
        group.turn += 1
        if not group.rows:
            self._ready.popleft()
            del self._groups[group.key]
        elif group.turn >= TURN_ROWS:
            group.turn = 0
            self._ready.rotate(-1)
        return sent

    def _go_early(self) -> tuple[int, T]:
        leader = next(iter(self._early), None)
        if leader is None:
            raise IndexError("there is no row to be sent")
        group = self._early[leader]
        sent = group.rows.popleft()
        if not group.rows:
            del self._early[leader]
        return sent
