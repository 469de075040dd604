"""What the crash campaigns share."""

import signal
from collections.abc import Iterator

import pytest
from crash_kit import end_all


@pytest.fixture(autouse=True)
def _no_child_left() -> Iterator[None]:
    """A test that fails leaves no process behind."""
    yield
    end_all()


@pytest.fixture(autouse=True)
def _sigint_is_heard() -> None:
    """A shell has what it starts in the background ignore SIGINT, and so would our children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
