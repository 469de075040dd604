"""What the crash campaigns share."""

from collections.abc import Iterator

import pytest
from crash_kit import end_all


@pytest.fixture(autouse=True)
def _no_child_left() -> Iterator[None]:
    """A test that fails leaves no process behind."""
    yield
    end_all()
