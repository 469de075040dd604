"""When so many rows fail that going on would only spend them. Pure.

Rules:

- 20 failures in a row with the same cause and no success in between stop the run. Rows behind which
  one of the input has gone well do not count: a row that is tried again and again is done long
  after its neighbours, and at the end of the source such rows are all that is left.
- Replies that came as they should, and whose texts the task cannot use, say nothing of the server.
  A judge that never keeps to its form fails its first rows alike; one that does as a rule may find
  20 odd ones together in a source that is sorted. So 20 of that kind stop the run only if hardly
  anything has gone well so far: less than a tenth.
- So do more than half of the last 200 outcomes, of whatever kind.
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
    >>> [breaker.failed("context_length", row) for row in range(20)].index(True)
    19
    """

    def __init__(self) -> None:
        self._cause = ""
        self._equal = 0
        self._newest = -1
        self._last: deque[bool] = deque(maxlen=_WINDOW)
        self._failed = 0
        self._well = self._of_text = 0

    def succeeded(self, row: int) -> None:
        """This row of the input went well in the stage."""
        self._equal = 0
        self._well += 1
        self._newest = max(self._newest, row)
        self._push(failed=False)

    def failed(self, cause: str, row: int, *, is_of_text: bool = False) -> bool:
        """This row failed for good. True: stop the run.

        Args:
            cause: a word to tell failures apart.
            row: its place in the input.
            is_of_text: its replies came as they should, and were of no use to the task.
        """
        self._push(failed=True)
        is_half = len(self._last) == _WINDOW and 2 * self._failed > _WINDOW
        if is_of_text:
            self._equal = 0
            self._of_text += 1
            is_all = self._of_text > 9 * self._well
            return is_half or (self._of_text >= _EQUAL_MAX and is_all)
        if row > self._newest:
            self._equal = self._equal + 1 if cause == self._cause else 1
            self._cause = cause
        return is_half or self._equal >= _EQUAL_MAX

    def _push(self, *, failed: bool) -> None:
        if len(self._last) == _WINDOW:
            self._failed -= self._last[0]
        self._last.append(failed)
        self._failed += failed
