"""What campaigns share: rows without end, and how much memory the process holds."""

import os
import sys
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path

import pytest


@pytest.fixture
def endless() -> Callable[[], AsyncIterator[dict[str, str]]]:
    """Makes sources that never end and know no length."""

    async def rows() -> AsyncIterator[dict[str, str]]:
        for k in count():
            yield {"input": f"Question {k}: what holds the roof up?"}

    return rows


@pytest.fixture
def rss_mb() -> Callable[[], float]:
    """Tells how many MB of memory this process holds now."""
    if sys.platform != "linux":
        pytest.skip("memory is read from /proc")
    page_mb = os.sysconf("SC_PAGE_SIZE") / 2**20
    return lambda: int(Path("/proc/self/statm").read_text().split()[1]) * page_mb
