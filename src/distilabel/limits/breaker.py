"""When so many rows fail that going on would only spend them. Pure.

Rules:

- 20 row-fatal failures in a row with the same cause and no success in between stop the run.
- So do more than half of the last 200 outcomes.
- It belongs to one stage of one run: another run begins anew.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Breaker"]

_EQUAL_MAX = 20
_WINDOW = 200


class Breaker:
    """Counts the outcomes of one stage.

    >>> breaker = Breaker()
    >>> [breaker.failed("context_length") for _ in range(20)].index(True)
    19
    """

    def __init__(self) -> None:
        self._cause = ""
        self._equal = 0
        self._last: deque[bool] = deque(maxlen=_WINDOW)
        self._failed = 0

    def succeeded(self) -> None:
        """A call of the stage went well."""
        self._equal = 0
        self._push(failed=False)

    def failed(self, cause: str) -> bool:
        """A call failed for good. True: stop the run."""
        self._equal = self._equal + 1 if cause == self._cause else 1
        self._cause = cause
        self._push(failed=True)
        is_half = len(self._last) == _WINDOW and 2 * self._failed > _WINDOW
        return self._equal >= _EQUAL_MAX or is_half

    def _push(self, *, failed: bool) -> None:
        if len(self._last) == _WINDOW:
            self._failed -= self._last[0]
        self._last.append(failed)
        self._failed += failed
