"""The order in which rows with a common beginning are sent; decided without any run."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilabel.pipeline.nearness import OVERTAKEN_ROWS, Nearness

some_keys = st.lists(st.integers(0, 6), max_size=60)


def send(keys, *, window: int, in_flight: int, ends) -> list[int]:
    """Send rows with these keys; `ends` says which of those in flight ends next."""
    near: Nearness[int] = Nearness()
    unread = deque(enumerate(keys))
    under_way: list[int] = []
    sent: list[int] = []
    while unread or near or under_way:
        while unread and len(near) < window:
            place, key = unread.popleft()
            near.put(key, place, place)
        if near and len(under_way) < in_flight:
            place, row = near.take()
            assert place == row
            sent.append(place)
            under_way.append(place)
        else:
            near.came_back(under_way.pop(ends(len(under_way))))
    return sent


@given(keys=some_keys, window=st.integers(1, 20), in_flight=st.integers(1, 8), data=st.data())
def test_every_row_is_sent_once_and_groups_keep_their_order(keys, window, in_flight, data):
    """Whatever ends when: all rows are sent, and rows of one group in the order of the input."""
    sent = send(
        keys,
        window=window,
        in_flight=in_flight,
        ends=lambda some: data.draw(st.integers(0, some - 1)),
    )
    assert sorted(sent) == list(range(len(keys)))
    for key in set(keys):
        of_key = [place for place in sent if keys[place] == key]
        assert of_key == sorted(of_key)


@given(total=st.integers(0, 50), window=st.integers(1, 20), in_flight=st.integers(1, 8))
def test_rows_that_are_alone_keep_the_order_of_the_input(total, window, in_flight):
    """Without groups nothing changes."""
    sent = send(range(total), window=window, in_flight=in_flight, ends=lambda some: some - 1)
    assert sent == list(range(total))


def test_followers_wait_for_their_leader_as_long_as_there_is_another():
    """One row of each group goes ahead; the others go when it is back."""
    near: Nearness[str] = Nearness()
    for place, row in enumerate(["a1", "a2", "b1", "b2", "b3", "c1"]):
        near.put(row[0], place, row)
    assert [near.take()[1] for _ in range(2)] == ["a1", "b1"]
    near.came_back(2)
    assert [near.take()[1] for _ in range(2)] == ["b2", "b3"]
    assert near.take()[1] == "c1"
    assert near.take()[1] == "a2"  # nothing else is left to send
    with pytest.raises(IndexError):
        near.take()


def test_a_row_that_comes_late_joins_its_group():
    """A row whose leader is under way waits for it, even if the group had no other row."""
    near: Nearness[str] = Nearness()
    near.put("a", 0, "a1")
    assert near.take() == (0, "a1")
    near.put("a", 1, "a2")
    near.put("b", 2, "b1")
    assert near.take() == (2, "b1")
    near.came_back(0)
    assert near.take() == (1, "a2")


def test_few_groups_are_begun_at_a_time():
    """With 8 in flight and groups of 10, no more than 8 groups are begun and unfinished."""
    keys = [group for _ in range(10) for group in range(40)]
    sent = send(keys, window=400, in_flight=8, ends=lambda some: 0)
    begun_max, left = 0, dict.fromkeys(range(40), 10)
    for place in sent:
        left[keys[place]] -= 1
        begun_max = max(begun_max, sum(0 < rows < 10 for rows in left.values()))
    assert begun_max <= 8


def test_a_group_without_end_keeps_nobody_waiting_for_ever():
    """With one row in fifty of another kind, each is sent after 5,000 others at the latest."""
    keys = [0 if place % 50 else place for place in range(40_000)]
    sent = send(keys, window=1024, in_flight=4, ends=lambda some: 0)
    late = max(turn - place for turn, place in enumerate(sent))
    assert late <= OVERTAKEN_ROWS + 1024


def test_groups_take_turns():
    """A group that is fed without end lets the other groups that are begun go on."""
    near: Nearness[int] = Nearness()
    for place in range(4_000):
        near.put(place % 2, place, place)
    near.take(), near.take()
    near.came_back(0), near.came_back(1)
    first = [near.take()[0] % 2 for _ in range(1_000)]
    assert 0.3 < sum(first) / len(first) < 0.7
