"""Occurrences: an exact count in little memory."""

import random
import tracemalloc
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from distilabel.journal import Occurrences

identities = st.binary(min_size=16, max_size=16) | st.sampled_from(
    [bytes(16), bytes(7) + b"\x01" + bytes(8), b"\xff" * 16, b"a mark" + bytes(10)]
)


@given(st.lists(identities, max_size=300))
def test_counts_are_exact(seen):
    """Each identity is counted by itself, however the tables lie."""
    occurrences, counter = Occurrences(), Counter()
    for identity in seen:
        assert occurrences.count(identity) == counter[identity[:9]]
        counter[identity[:9]] += 1


def test_counts_stay_exact_while_tables_grow():
    """Tables that grew many times over forget nothing."""
    chance = random.Random(1)
    pool = [chance.randbytes(16) for _ in range(20_000)]
    occurrences, counter = Occurrences(), Counter()
    for _ in range(60_000):
        identity = chance.choice(pool)
        assert occurrences.count(identity) == counter[identity]
        counter[identity] += 1


def test_a_row_takes_few_bytes():
    """A hundred thousand rows stay under 40 bytes each, growing included."""
    chance = random.Random(1)
    tracemalloc.start()
    try:
        occurrences = Occurrences()
        for _ in range(100_000):
            occurrences.count(chance.randbytes(16))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / 100_000 < 40
