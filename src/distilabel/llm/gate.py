"""The gate before a backend: permits, pauses and probes in front of each attempt.

Rules:

- A permit covers one attempt. Whoever waits, for a pause, a probe or a verdict, holds none.
- What an attempt says about the backend is told to its `Health`; what may be sent follows from it.
- `Health` is pure and knows no threads; several event loops may call one backend, so that every
  question to it is asked under this gate's lock.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

import anyio

from distilabel.errors import (
    CallError,
    DispatchStoppedError,
    RowFatalError,
    RunFatalError,
    WarmingError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from distilabel.limits import Health, HealthStatistics, PermitPool
    from distilabel.llm.asking import CallContext

__all__ = ["Gate"]

T = TypeVar("T")

_AWAY = frozenset({"connect", "connect_timeout", "http_502", "http_503"})
"""Causes that tell of a server which is not there, rather than of a row that it cannot take."""


class Gate:
    """Lets attempts through as permits and the backend's health allow."""

    def __init__(self, permits: PermitPool, health: Health) -> None:
        self._permits = permits
        self._health = health
        self._lock = threading.Lock()

    def statistics(self) -> HealthStatistics:
        """The backend's health at this moment."""
        with self._lock:
            return self._health.statistics()

    async def send(self, attempt: Callable[[], Awaitable[T]], context: CallContext) -> T:
        """Make one attempt as soon as one may be made.

        Raises:
            DispatchStoppedError: the run is stopping; nothing was sent.
        """
        while True:
            await self._wait_until_well()
            async with self._permits:
                if context.flight.is_stopped:
                    raise DispatchStoppedError("the run is stopping")
                is_probe = self._note_sent(context.row_index)
                if is_probe is None:
                    continue  # something happened while this call waited for its permit
                try:
                    return await attempt()
                finally:
                    with self._lock:
                        self._health.ended(is_probe=is_probe)

    async def _wait_until_well(self) -> None:
        # The clock ends a pause, and a probe may be in another event loop: no event could tell.
        while wait_s := self._wait_s():  # noqa: ASYNC110
            await anyio.sleep(wait_s)

    def _wait_s(self) -> float:
        with self._lock:
            return self._health.wait_s(anyio.current_time())

    def _note_sent(self, row: int) -> bool | None:
        """Whether the attempt is a probe; None: it must wait after all."""
        now = anyio.current_time()
        with self._lock:
            return None if self._health.wait_s(now) else self._health.sent(now, row)

    # What an attempt said about the backend.

    def succeeded(self, row: int, *, retry_cost: int) -> None:
        """A complete reply came; it followed retries that had cost `retry_cost`."""
        with self._lock:
            self._health.succeeded(row, retry_cost=retry_cost)

    def throttled(self, error: CallError) -> int:
        """Pause for as long as the server asks. Returns what the retry costs."""
        cost = self._health.policy.throttle_cost
        with self._lock:
            now = anyio.current_time()
            self._health.throttled(now, error.retry_after_s or 0.0)
            if self._health.pays(cost):
                return cost
            self._give_up_unless(self._health.circuit_open(now), error)
            return 0

    def warming(self, error: WarmingError, default_wait_s: float) -> None:
        """Leave a starting server alone, for as long as it says it needs, then probe it.

        Raises:
            RunFatalError: it has had its time.
        """
        wait_s = default_wait_s if error.retry_after_s is None else error.retry_after_s
        with self._lock:
            may_go_on = self._health.warming(anyio.current_time(), wait_s)
        self._give_up_unless(may_go_on, error)

    def stumbled(self, error: CallError, row: int) -> int | None:
        """Note a transient failure. Returns its retry's cost; None: the circuit is open.

        Raises:
            RunFatalError: the circuit has been open for too long.
        """
        cost = self._health.policy.transient_cost
        with self._lock:
            self._health.stumbled(row)
            if not self._health.is_probing and self._health.pays(cost):
                return cost
            may_go_on = self._health.circuit_open(anyio.current_time())
        self._give_up_unless(may_go_on, error)
        return None

    def is_away(self, error: CallError) -> bool:
        """Whether a call that has used up its retries is to wait for the server, not to fail.

        A run of few threads would else spend rows on an outage: its budget, made for many, lasts
        longer than the retries of each row.

        Raises:
            RunFatalError: the circuit has been open for too long.
        """
        with self._lock:
            if error.cause not in _AWAY or not self._health.has_many_stumblers:
                return False
            may_go_on = self._health.circuit_open(anyio.current_time())
        self._give_up_unless(may_go_on, error)
        return True

    async def judge(self, error: RunFatalError, row: int) -> None:
        """Find out whether a 401 or 403 is this row's own. Returns if the row is to try once more.

        Raises:
            RowFatalError: another row went well.
            RunFatalError: another row, or this one again, failed in the same way.
        """
        with self._lock:
            verdict = self._health.suspect(anyio.current_time(), row)
        while verdict == "open":
            await anyio.sleep(self._health.policy.poll_s)
            with self._lock:
                verdict = self._health.verdict(anyio.current_time())
        if verdict == "alone":
            return
        with self._lock:
            self._health.acquit()
        if verdict == "run":
            raise error
        raise RowFatalError(
            f"{error} Other rows go well with the same key, so it is about this row.",
            cause=error.cause,
            status=error.status,
            request_id=error.request_id,
        ) from error

    def _give_up_unless(self, may_go_on: bool, error: CallError) -> None:
        if may_go_on:
            return
        minutes = self._health.policy.probing_max_s / 60
        raise RunFatalError(
            f"the server has not answered well for {minutes:.0f} minutes. Look at it, then run "
            f"again. It last said: {error}",
            cause="unavailable",
            status=error.status,
        ) from error
