"""The gate before a backend: permits, pauses, probes and rates in front of each attempt.

Rules:

- A permit covers one attempt. Whoever waits, for a pause, a probe, a pace or a verdict, holds none.
- Where nothing holds attempts back, a permit is all that is asked for. Otherwise they stand in line
  for their turn, and only the first of the line looks at the clock: however many wait, each attempt
  that leaves costs the same. Where one attempt is to tell how the backend is, a row that has not
  stumbled goes first, and of several the one that is furthest down the source: neighbours may have
  in common what the backend cannot take.
- What an attempt says about the backend is told to its `Control`; what may be sent follows from it.
  Objects that call the same backend have a gate each and one control.
"""

from __future__ import annotations

import logging
from asyncio import get_running_loop
from typing import TYPE_CHECKING

import anyio

from distilabel.errors import (
    CallError,
    DispatchStoppedError,
    RowFatalError,
    RunFatalError,
    ThrottledError,
    TransientError,
    WarmingError,
)
from distilabel.limits import PermitPool
from distilabel.llm.control import Control
from distilabel.llm.files import are_exhausted, connections_max, files_needed
from distilabel.llm.stalls import stalls_of_this_loop
from distilabel.untrusted import one_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from distilabel.limits import Failing, Health, HealthStatistics
    from distilabel.llm.asking import CallContext
    from distilabel.llm.control import ControlStatistics, Ticket
    from distilabel.llm.flight import Flight
    from distilabel.types import Call, KeptReply

__all__ = ["NO_FILES_LEFT", "Gate"]

_log = logging.getLogger("distilabel")

NO_FILES_LEFT = "too_many_files"
"""The cause of a failure to connect because this process has too many files open."""


_BACKENDS_OWN = frozenset({502, 503, 504})
"""Statuses of a backend that has too much to do, or is away (RFC 9110, section 15.6)."""


class Gate:
    """Lets attempts of one object through as its permits and the backend allow.

    Args:
        permits: the object's own.
        health: of a backend that nobody else calls.
        is_adaptive: whether the permits follow the backend's adaptive limit.
        ceiling: the most permits, if they do; None: as many as there are file descriptors.
        rates: requests and tokens per minute that the user names.
    """

    def __init__(
        self,
        permits: PermitPool,
        health: Health | None = None,
        *,
        is_adaptive: bool = False,
        ceiling: int | None = None,
        rates: tuple[float | None, float | None] = (None, None),
    ) -> None:
        self._permits = permits
        self._turn = PermitPool(1)
        self.is_adaptive = is_adaptive
        self.ceiling = ceiling
        self.rates = rates
        self._is_warned = False
        self._fresh: list[int] = []
        """Rows that wait and have not stumbled, one entry for each call."""
        self.join(Control(health))

    def join(self, control: Control) -> None:
        """Share what is known about the backend with all who call it. Before the first attempt."""
        self._control = control
        self._health = control.health
        self._lock = control.lock
        control.join(self)
        if self.is_adaptive:
            self.follow(control.pool.limit)

    def leave_files(self) -> None:
        """Take no more permits than there may be connections, though their number is fixed.

        The rest of the program needs descriptors too: it reads what it imports, and its journal.
        """
        wanted, most = self._permits.limit, connections_max()
        if self.is_adaptive or wanted <= most:
            return
        self._permits.resize(most)
        if not self._is_warned:
            self._is_warned = True
            _log.warning(
                "this process may open too few files for %d connections, so at most %d requests "
                "are under way. No row fails for it; `ulimit -n %d` allows all.",
                wanted,
                most,
                files_needed(wanted),
            )

    def follow(self, limit: int) -> None:
        """The backend takes so many attempts, of all objects together."""
        if not self.is_adaptive:
            return
        own = limit if self.ceiling is None else min(limit, self.ceiling)
        if own != self._permits.limit:
            self._permits.resize(own)

    @property
    def permits_max(self) -> int:
        """The most permits that there may ever be."""
        return self.ceiling or self._control.adaptive.ceiling  # no lock: asked when they change

    def statistics(self) -> HealthStatistics:
        """The backend's health at this moment."""
        with self._lock:
            return self._health.statistics()

    def limits(self) -> ControlStatistics:
        """The backend's adaptive limit and rates at this moment."""
        return self._control.statistics()

    def departs(self, failing: Failing) -> None:
        """The attempt that was sent last is this call's."""
        failing.departs(self._health.sent_count, self._health.in_flight - 1)

    def learn(self, headers: Mapping[str, str]) -> None:
        """A reply has `x-ratelimit-*` headers."""
        self._control.learn(headers)

    async def send(
        self,
        attempt: Callable[[], Awaitable[KeptReply]],
        context: CallContext,
        call: Call | None = None,
    ) -> KeptReply:
        """Make one attempt as soon as one may be made.

        Raises:
            DispatchStoppedError: the run is stopping; nothing was sent.
        """
        pool = self._control.pool if self._control.is_shared and self.is_adaptive else None
        ticket = None
        if not self._control.wait_s(get_running_loop().time()):
            ticket = await self._admit(pool, context, call)
        if ticket is None:
            ticket = await self._wait_for_turn(pool, context, call)
        if self.is_adaptive and self._control.adaptive.is_ramping:
            self._control.ramp()
        try:
            return await self._make(attempt, ticket)
        finally:
            self._permits.release()
            if pool is not None:
                pool.release()

    async def _wait_for_turn(
        self, pool: PermitPool | None, context: CallContext, call: Call | None
    ) -> Ticket:
        row = context.row_index
        is_fresh = not self._health.has_stumbled(row)
        if is_fresh:
            self._fresh.append(row)
        try:
            while True:
                if aside_max := self._health.aside_max:
                    context.flight.set_aside(row, aside_max)
                async with self._turn:
                    ticket = await self._take_turn(pool, context, call)
                    if ticket is not None:
                        return ticket
        finally:
            if is_fresh:
                self._fresh.remove(row)

    async def _take_turn(
        self, pool: PermitPool | None, context: CallContext, call: Call | None
    ) -> Ticket | None:
        """An attempt, as soon as one may be made; None: another row of the line goes before."""
        while True:
            # The clock ends a wait, or a probe in another event loop: no event could tell.
            while wait_s := self._control.wait_s(get_running_loop().time()):  # noqa: ASYNC110
                await anyio.sleep(wait_s)
            if self._health.is_probing and not self._goes_first(context.row_index):
                return None
            ticket = await self._admit(pool, context, call)
            if ticket is not None:
                return ticket

    def _goes_first(self, row: int) -> bool:
        return row == max(self._fresh, default=row)

    async def _admit(
        self, pool: PermitPool | None, context: CallContext, call: Call | None
    ) -> Ticket | None:
        """Take what permits are needed. None, and none taken: something came between."""
        await self._permits.acquire()
        try:
            if pool is not None:
                await pool.acquire()
            ticket = None
            try:
                if context.flight.is_stopped:
                    raise DispatchStoppedError("the run is stopping")
                ticket = self._control.sent(
                    get_running_loop().time(), context.row_index, call, is_adaptive=self.is_adaptive
                )
            finally:
                if ticket is None and pool is not None:
                    pool.release()
        except BaseException:
            self._permits.release()
            raise
        if ticket is None:
            self._permits.release()
        return ticket

    async def _make(self, attempt: Callable[[], Awaitable[KeptReply]], ticket: Ticket) -> KeptReply:
        control = self._control
        stalls = stalls_of_this_loop()
        lost_s = stalls.enter()
        try:
            try:
                kept = await attempt()
            finally:
                lost_s = stalls.leave(lost_s)
        except ThrottledError:
            control.refused(get_running_loop().time(), ticket)
            raise
        except CallError as error:
            if error.cause == NO_FILES_LEFT or (error.cause == "connect" and are_exhausted()):
                raise self._starved(ticket) from error
            control.failed(ticket)
            raise
        except BaseException:
            control.failed(ticket)
            raise
        control.succeeded(get_running_loop().time(), ticket, kept.reply, lost_s=lost_s)
        return kept

    def _starved(self, ticket: Ticket) -> TransientError:
        """No more connections than there are, from now on."""
        self._control.starved(ticket)
        if not self.is_adaptive:
            self._permits.resize(max(1, self._permits.statistics().in_use - 1))
        if not self._is_warned:
            self._is_warned = True
            _log.warning(
                "this process may open no more files, so at most %d requests are under way from "
                "now on. No row fails for it; `ulimit -n` allows more.",
                self._permits.limit,
            )
        return TransientError("this process may open no more files", cause=NO_FILES_LEFT)

    # What an attempt said about the backend.

    def succeeded(self, row: int, *, retry_cost: int, failing: Failing) -> None:
        """A complete reply came; it followed retries that had cost `retry_cost`."""
        with self._lock:
            self._health.succeeded(row, retry_cost=retry_cost, failing=failing)

    def throttled(self, error: CallError) -> int:
        """Pause for as long as the server asks. Returns what the retry costs."""
        cost = self._health.policy.throttle_cost
        with self._lock:
            now = get_running_loop().time()
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
            may_go_on = self._health.warming(get_running_loop().time(), wait_s)
        self._give_up_unless(may_go_on, error)

    def stumbled(self, error: CallError, failing: Failing, context: CallContext) -> int | None:
        """Note a transient failure. Returns its retry's cost; None: the circuit is open.

        Raises:
            CallError: the circuit has been open for too long.
        """
        health, since = self._health, None
        if error.status in _BACKENDS_OWN:
            failing.is_backends = True
        if not failing.is_backends:
            since = get_running_loop().time()
        with self._lock:
            cost = (
                0 if health.stumbled(context.row_index, failing) else health.policy.transient_cost
            )
            if not health.is_probing and health.pays(cost, since=since):
                failing.paid += cost if failing.is_backends else 0
                return cost
        self._open_circuit(error, context.flight)
        return None

    async def is_to_blame(self, error: CallError, failing: Failing, context: CallContext) -> bool:
        """Whether a call that has used up its retries is to fail, rather than to wait for a server.

        Args:
            error: what it failed with last.
            failing: since when.
            context: for whom it was made.

        Raises:
            DispatchStoppedError: the run is stopping, and nobody knows.
            CallError: the circuit has been open for too long.
        """
        # Another row may be in another event loop, or never come: no event could tell.
        while (is_own := self._is_to_blame(failing, context.flight)) is None:  # noqa: ASYNC110
            await anyio.sleep(self._health.policy.poll_s)
        if is_own:
            with self._lock:
                self._health.failed(context.row_index, failing)
        else:
            self._open_circuit(error, context.flight)
        return is_own

    def _is_to_blame(self, failing: Failing, flight: Flight) -> bool | None:
        now, company = get_running_loop().time(), flight.company()
        with self._lock:
            is_own = self._health.is_to_blame(now, failing, company)
        if is_own is None and flight.is_stopped:
            raise DispatchStoppedError("the run is stopping")
        return is_own

    def _open_circuit(self, error: CallError, flight: Flight) -> None:
        """Have the server probed.

        Raises:
            RunFatalError: it has had its time.
            CallError: `error`, if it has, and no row is left that might do better: these may be
                beyond what it can do, and are failed, so that the run has an end.
        """
        now, company = get_running_loop().time(), flight.company()
        with self._lock:
            is_news = not self._health.is_probing
            may_go_on = self._health.circuit_open(now)
            is_hopeless = self._health.is_hopeless(company)
            if not may_go_on and is_hopeless:
                self._health.let_go()
        if not may_go_on and is_hopeless:
            raise error
        self._give_up_unless(may_go_on, error)
        if not flight.is_stopped and self._control.is_to_tell(now, is_news=is_news):
            _log.warning(
                "requests fail, the last one so: %s. One at a time is tried until one goes well, "
                "for up to %.0f minutes; meanwhile rows wait, and none is failed for it.",
                one_line(str(error)).rstrip("."),
                self._health.policy.probing_max_s / 60,
            )

    async def judge(self, error: RunFatalError, row: int) -> None:
        """Find out whether a 401 or 403 is this row's own. Returns if the row is to try once more.

        Raises:
            RowFatalError: another row went well.
            RunFatalError: another row, or this one again, failed in the same way.
        """
        with self._lock:
            verdict = self._health.suspect(get_running_loop().time(), row)
        while verdict == "open":
            await anyio.sleep(self._health.policy.poll_s)
            with self._lock:
                verdict = self._health.verdict(get_running_loop().time())
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
