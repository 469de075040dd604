"""When a backend wants to be left alone: throttled, or warming up. Pure: time is an argument.

Rules:

- Throttled: nothing is sent before the time that the server named. Then all go on at once, as many
  as the permits allow.
- Warming: nothing is sent before the time is up; then one attempt at a time (the probe), until one
  succeeds. The first success ends it for all.
- A later, shorter wait never shortens an earlier, longer one.
- Warming that lasts longer than `warming_max_s` is over: `warming` says so.
"""

from __future__ import annotations

__all__ = ["Pause"]

_PROBE_POLL_S = 1.0


class Pause:
    """Whether an attempt may be sent to one backend now, and if not, how long to wait.

    >>> pause = Pause()
    >>> pause.throttled(now=10.0, wait_s=5.0)
    >>> pause.wait_s(now=12.0), pause.wait_s(now=15.0)
    (3.0, 0.0)
    """

    def __init__(self, *, warming_max_s: float = 1800.0) -> None:
        self._warming_max_s = warming_max_s
        self._until = float("-inf")
        self._warming_since: float | None = None
        self._has_probe = False

    @property
    def is_warming(self) -> bool:
        """Whether the backend is being probed rather than used."""
        return self._warming_since is not None

    def wait_s(self, now: float) -> float:
        """Seconds until an attempt may be tried; 0: now."""
        if now < self._until:
            return self._until - now
        if self.is_warming and self._has_probe:
            return _PROBE_POLL_S
        return 0.0

    def sent(self) -> None:
        """An attempt starts: while warming, it is the probe."""
        self._has_probe = self.is_warming

    def throttled(self, now: float, wait_s: float) -> None:
        """The server asked for less, for `wait_s` seconds."""
        self._until = max(self._until, now + wait_s)

    def warming(self, now: float, wait_s: float) -> bool:
        """The server is starting; ask again in `wait_s` seconds. False: it has had its time."""
        if self._warming_since is None:
            self._warming_since = now
        self._has_probe = False
        self._until = max(self._until, now + wait_s)
        return now - self._warming_since < self._warming_max_s

    def succeeded(self) -> None:
        """A reply came: the backend is up."""
        self._warming_since = None
        self._has_probe = False

    def probe_ended(self) -> None:
        """The attempt ended in another way: the next one may probe."""
        self._has_probe = False
