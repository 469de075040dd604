"""Decides what becomes of each request; it moves no byte and waits for nothing.

How it works: `Simulator.receive` takes a parsed request and the time, and gives a `Plan`: what to
send, after how long, and whether a slot is needed first. The connection carries the plan out and
reports back with `Simulator.finish`.

Rules:

- On arrival the ledger notes the request, and its index, attempt and latency draw are fixed,
  whatever becomes of it.
- Then the script is asked. A fault that happens at once is the plan.
- Otherwise `distilabel.testing.answers` writes the reply, and the fault spoils it. Only a
  generation that succeeded takes time and a slot: errors are sent at once.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from distilabel.testing import openai_api, tgi_api
from distilabel.testing.answers import Answers, error_shape
from distilabel.testing.http1 import HttpRequest
from distilabel.testing.ledger import Ledger, LedgerEntry
from distilabel.testing.openai_api import Asked, InvalidBodyError
from distilabel.testing.outgoing import Outgoing, Reply
from distilabel.testing.request import GENERATION_ROUTES, SimRequest
from distilabel.testing.routes import Route, find_route
from distilabel.testing.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Plan", "RateChange", "Simulator"]

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class RateChange:
    """The body of ``POST /_sim/rate``.

    Attributes:
        rate_per_s: the token bucket's new rate.
    """

    rate_per_s: float


class Plan(msgspec.Struct, eq=False):
    """What is to be done about one request.

    Attributes:
        request: the request.
        outgoing: what to send.
        delay_s: how long after the start of service.
        needs_slot: whether service starts when there is a slot, and not at once.
        body_hash: of its body, as the ledger counts it.
        has_key: whether an API key came with it.
        arrived_s: when it was complete.
    """

    request: SimRequest
    outgoing: Outgoing
    delay_s: float = 0.0
    needs_slot: bool = False
    body_hash: bytes = b""
    has_key: bool = False
    arrived_s: float = 0.0


class Simulator:
    """The decisions of one simulated endpoint.

    Args:
        settings: how it behaves.
        base_url: where it listens.
    """

    def __init__(self, settings: Settings, base_url: str) -> None:
        self.settings = settings
        self.ledger = Ledger(settings.ledger)
        self._answers = Answers(settings, base_url)
        self._begin()

    def _begin(self) -> None:
        self._draws = self.settings.latency.draws()
        self._generations = 0
        self._others = 0

    def reset(self, now_s: float) -> None:
        """Begin anew: the ledger, the order of arrival, the draws, the endpoints' states."""
        self.ledger.clear()
        self._answers.hub.begin(now_s)
        if self.settings.prompt_cache is not None:
            self.settings.prompt_cache.clear()
        self._begin()

    def receive(self, http: HttpRequest, now_s: float) -> Plan:
        """Decide about a request that has just arrived."""
        route = find_route(http.path)
        if route.name == "control":
            return self._control(http, route, now_s)
        has_hash = self.ledger.detail != "counters"
        body_hash = blake2b(http.body, digest_size=8).digest() if has_hash else b""
        attempt = self.ledger.open(route.name, body_hash)
        plan = self._plan(http, route, attempt, now_s)
        plan.body_hash, plan.arrived_s = body_hash, now_s
        plan.has_key = http.head.value(b"authorization") is not None
        return plan

    def finish(self, plan: Plan, now_s: float, *, is_delivered: bool, is_abandoned: bool) -> None:
        """Note how a plan ended."""
        ledger, route = self.ledger, plan.request.route
        if route == "control":
            return
        status = 0 if is_abandoned else plan.outgoing.status
        delivered = is_delivered and plan.outgoing.is_whole
        cache = self.settings.prompt_cache
        if cache is not None and status == 200 and plan.request.is_generation:
            cache.add(plan.request.model, plan.request.prompt, now_s)
        ledger.close(
            route, plan.body_hash, status, is_delivered=delivered, is_abandoned=is_abandoned
        )
        if ledger.detail == "calls":
            ledger.record(_entry(plan, status, now_s, delivered, is_abandoned))

    def _plan(self, http: HttpRequest, route: Route, attempt: int, now_s: float) -> Plan:
        delay_s = next(self._draws) if route.name in GENERATION_ROUTES else 0.0
        request, problem = _read(http, route, self._next_index(route), attempt)
        shape = error_shape(route.name)
        try:
            fault = self.settings.script and self.settings.script(request)
        except Exception as error:  # noqa: BLE001 - the user's function may raise anything
            message = f"the script raised {type(error).__name__}: {error}"
            return Plan(request, _whole(Reply(500, shape(500, message), self._headers(request))))
        if fault is not None and fault.is_at_once:
            reply = Reply(200, b"", self._headers(request))
            return Plan(request, fault.outgoing(reply, shape), fault.extra_s)
        reply = self._answers.answer(request, http, route, problem, now_s)
        is_generated = request.is_generation and reply.status == 200
        if not is_generated:
            delay_s = 0.0
        if fault is None:
            return Plan(request, _whole(reply), delay_s, is_generated)
        return Plan(request, fault.outgoing(reply, shape), delay_s + fault.extra_s, is_generated)

    def _headers(self, request: SimRequest) -> tuple[tuple[str, str], ...]:
        return self._answers.headers(request)

    def _next_index(self, route: Route) -> int:
        if route.name in GENERATION_ROUTES:
            self._generations += 1
            return self._generations - 1
        self._others += 1
        return self._others - 1

    def _control(self, http: HttpRequest, route: Route, now_s: float) -> Plan:
        request = SimRequest(index=0, attempt=1, route="control")
        try:
            status, body = self._steer(http, route.rest, now_s)
        except msgspec.DecodeError as error:
            status, body = 400, openai_api.error_body(400, str(error))
        headers = (("content-type", "application/json"),)
        return Plan(request, _whole(Reply(status, body, headers)))

    def _steer(self, http: HttpRequest, action: str, now_s: float) -> tuple[int, bytes]:
        match http.method, action:
            case "GET", "ledger":
                return 200, msgspec.json.encode(self.ledger.report())
            case "POST", "reset":
                self.reset(now_s)
                return 200, b"{}"
            case "POST", "rate" if self.settings.bucket is not None:
                change = msgspec.json.decode(http.body, type=RateChange)
                self.settings.bucket.rate_per_s = change.rate_per_s
                return 200, b"{}"
            case _:
                return 404, openai_api.error_body(404, f"no such control: {action}")


def _whole(reply: Reply) -> Outgoing:
    return Outgoing(reply.status, (reply.to_bytes(),))


def _mapping(body: bytes) -> dict[str, object]:
    """The JSON object in a body.

    Raises:
        InvalidBodyError: if there is none.
    """
    try:
        parsed = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        parsed = None
    if not isinstance(parsed, dict):
        raise InvalidBodyError("We could not parse the JSON body of your request.")
    return parsed


def _read(
    http: HttpRequest, route: Route, index: int, attempt: int
) -> tuple[SimRequest, InvalidBodyError | None]:
    """The request as scripts see it, and what is wrong with its body, if anything."""
    body: Mapping[str, object] = {}
    asked, problem = Asked("", ""), None
    if route.name in GENERATION_ROUTES:
        try:
            body = _mapping(http.body)
            read = openai_api.read_chat if route.name == "chat" else tgi_api.read_generation
            asked = read(body)
        except InvalidBodyError as error:
            problem = error
    request = SimRequest(
        index,
        attempt,
        route.name,
        asked.model,
        route.endpoint,
        asked.n,
        asked.max_tokens,
        asked.prompt,
        body,
        http.head,
    )
    return request, problem


def _entry(
    plan: Plan, status: int, now_s: float, is_delivered: bool, is_abandoned: bool
) -> LedgerEntry:
    request = plan.request
    return LedgerEntry(
        index=request.index,
        attempt=request.attempt,
        route=request.route,
        model=request.model,
        n=request.n,
        body_hash=plan.body_hash.hex(),
        has_key=plan.has_key,
        status=status,
        arrived_s=plan.arrived_s,
        finished_s=now_s,
        is_delivered=is_delivered,
        is_abandoned=is_abandoned,
    )
