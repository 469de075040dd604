r"""The hub's management of Inference Endpoints, and the life of one.

An endpoint is described by a `HubEndpoint`; the `Hub` keeps the state each is in.

States and what moves them::

    paused ----------- resume ---------------> initializing --- enough polls or seconds ---> running
    scaledToZero ----- resume, or a request -> initializing                             \-> failed
    pending ---------- enough polls or seconds ------------------------------------------> running
    running ---------- pause, scale-to-zero -> paused, scaledToZero
    failed ----------- resume ---------------> initializing

Rules:

- ``polls_to_run`` polls are answered with ``initializing``, the next one with ``running``. A
  request to the endpoint itself counts as a poll: who never asks the hub is served in the end, too.
  With ``seconds_to_run`` time decides instead, counted from the resume.
- ``url`` is null unless the endpoint is running.
- Without a list of endpoints, every name exists and is running.

This module is pure: time comes in as an argument.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

__all__ = ["EndpointState", "Hub", "HubEndpoint", "error_body", "whoami_body"]

EndpointState: TypeAlias = Literal[
    "running", "paused", "scaledToZero", "initializing", "pending", "failed"
]
_encode = msgspec.json.Encoder().encode
_CREATED_AT = "2026-01-01T00:00:00.000Z"
_USER = "simulated-user"


@dataclass(frozen=True, slots=True)
class HubEndpoint:
    """An Inference Endpoint of the simulated hub.

    Attributes:
        name: its name.
        namespace: whose it is.
        state: the state it begins in.
        polls_to_run: how often it says that it is starting before it says that it runs.
        seconds_to_run: how long it takes to start instead, in seconds; None to count polls.
        comes_up: what starting leads to: ``running``, or ``failed``.
        model: the repository of its model.
    """

    name: str
    namespace: str = _USER
    state: EndpointState = "running"
    polls_to_run: int = 1
    seconds_to_run: float | None = None
    comes_up: Literal["running", "failed"] = "running"
    model: str = "simulated/model"


class _Life:
    """The state of one endpoint, and what is left until the next one."""

    def __init__(self, endpoint: HubEndpoint, now_s: float) -> None:
        self.endpoint = endpoint
        self.state: EndpointState = endpoint.state
        self._polls_left = endpoint.polls_to_run
        self._since_s = now_s

    def resume(self, now_s: float) -> None:
        self.state = "initializing"
        self._polls_left = self.endpoint.polls_to_run
        self._since_s = now_s

    def poll(self, now_s: float) -> EndpointState:
        if self.state in {"initializing", "pending"} and self._is_up(now_s):
            self.state = self.endpoint.comes_up
        return self.state

    def _is_up(self, now_s: float) -> bool:
        seconds = self.endpoint.seconds_to_run
        if seconds is not None:
            return now_s - self._since_s >= seconds
        self._polls_left -= 1
        return self._polls_left < 0


class Hub:
    """The endpoints and their states.

    Args:
        endpoints: those that exist; None for any name, always running.
        base_url: where the simulated endpoint listens.
    """

    def __init__(self, endpoints: Iterable[HubEndpoint] | None, base_url: str) -> None:
        self._is_open = endpoints is None
        self._lives = {life.name: _Life(life, 0.0) for life in endpoints or ()}
        self._base_url = base_url

    def begin(self, now_s: float) -> None:
        """Put every endpoint back into the state it begins in."""
        self._lives = {
            name: _Life(life.endpoint, now_s)
            for name, life in self._lives.items()
            if not self._is_open
        }

    def manage(self, method: str, path: str, now_s: float) -> tuple[int, bytes]:
        """Answer a call of the management API; ``path`` is what follows ``/v2``."""
        parts = path.strip("/").split("/")
        if len(parts) == 2 and method == "GET":
            lives = [one for one in self._lives.values() if one.endpoint.namespace == parts[1]]
            return 200, _encode({"items": [self._raw(one) for one in lives]})
        if parts[0] != "endpoint" or len(parts) not in {3, 4}:
            return 404, error_body(404, "Not Found")
        life = self._find(parts[2], parts[1], now_s)
        if life is None:
            return 404, error_body(404, f"Endpoint {parts[1]}/{parts[2]} not found")
        action = parts[3] if len(parts) == 4 else ""
        return self._act(life, method, action, now_s)

    def admit(self, name: str, now_s: float) -> tuple[int, bytes] | None:
        """None if the endpoint serves requests; otherwise how it turns this one away."""
        life = self._find(name, None, now_s)
        if life is None:
            return 404, error_body(404, f"Endpoint {name} not found")
        if life.state == "scaledToZero":
            life.resume(now_s)
        state = life.poll(now_s)
        if state in {"initializing", "pending"}:
            seconds = life.endpoint.seconds_to_run or 20.0
            body = {"error": "Model is currently loading", "estimated_time": seconds}
            return 503, _encode(body)
        if state == "running":
            return None
        return 400, error_body(400, f"Bad Request: Endpoint is {state}")

    def model(self, name: str) -> str:
        """The model that an endpoint serves."""
        life = self._lives.get(name)
        return HubEndpoint(name).model if life is None else life.endpoint.model

    def _find(self, name: str, namespace: str | None, now_s: float) -> _Life | None:
        if self._is_open and name and name not in self._lives:
            self._lives[name] = _Life(HubEndpoint(name, namespace or _USER), now_s)
        life = self._lives.get(name)
        if life is None or self._is_open or namespace in {None, life.endpoint.namespace}:
            return life
        return None

    def _act(self, life: _Life, method: str, action: str, now_s: float) -> tuple[int, bytes]:
        if method == "GET" and not action:
            life.poll(now_s)
        elif method == "POST" and action == "resume":
            if life.state == "running":
                return 400, error_body(400, "Endpoint is already running")
            life.resume(now_s)
        elif method == "POST" and action == "pause":
            life.state = "paused"
        elif method == "POST" and action == "scale-to-zero":
            life.state = "scaledToZero"
        else:
            return 405, error_body(405, f"{method} {action} is not simulated")
        return 200, _encode(self._raw(life))

    def _raw(self, life: _Life) -> dict[str, object]:
        endpoint = life.endpoint
        is_running = life.state == "running"
        return {
            "name": endpoint.name,
            "type": "authenticated",
            "accountId": None,
            "healthRoute": "/health",
            "provider": {"vendor": "simulated", "region": "loopback"},
            "compute": {"accelerator": "cpu", "instanceSize": "x1", "instanceType": "simulated"},
            "model": {
                "repository": endpoint.model,
                "framework": "pytorch",
                "revision": "main",
                "task": "text-generation",
                "image": {"tgi": {"url": "simulated", "port": 80, "healthRoute": "/health"}},
            },
            "status": {
                "state": life.state,
                "message": "",
                "url": f"{self._base_url}/endpoints/{endpoint.name}" if is_running else None,
                "readyReplica": int(is_running),
                "targetReplica": 1,
                "createdAt": _CREATED_AT,
                "updatedAt": _CREATED_AT,
            },
        }


def whoami_body() -> bytes:
    """Who the bearer of any token is."""
    user = {"type": "user", "id": "0" * 24, "name": _USER, "fullname": "Simulated User"}
    auth = {"type": "access_token", "accessToken": {"displayName": "simulated", "role": "read"}}
    return _encode({**user, "isPro": False, "orgs": [], "auth": auth})


def error_body(status: int, message: str) -> bytes:
    """An error, in the hub's shape."""
    del status
    return _encode({"error": message})
