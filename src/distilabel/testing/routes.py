"""Which path means what.

========================================  ===================================================
``/v1/chat/completions``, ``/v1/models``  OpenAI
``/``, ``/generate``                      text generation (TGI)
``/endpoints/NAME`` and below             the same two, under the URL of an Inference Endpoint
``/v2/endpoint/...``                      the hub's management of Inference Endpoints
``/api/whoami-v2``                        the hub's answer to who the token belongs to
``/_sim/...``                             control: the ledger, a reset
========================================  ===================================================
"""

from dataclasses import dataclass
from urllib.parse import unquote

__all__ = ["Route", "find_route"]


@dataclass(frozen=True, slots=True)
class Route:
    """Where a path leads.

    Attributes:
        name: ``chat``, ``text-generation``, ``models``, ``hub``, ``whoami``, ``control`` or
            ``unknown``.
        method: the only method it is served with, or an empty string for any.
        endpoint: the Inference Endpoint's name, or None.
        rest: what the route itself does not say: a model's name, a path within the hub.
        is_list: whether a text generation is wrapped in a list, as by the hosted API.
    """

    name: str
    method: str = ""
    endpoint: str | None = None
    rest: str = ""
    is_list: bool = False


_FIXED = {
    "/v1/chat/completions": Route("chat", "POST"),
    "/v1/models": Route("models", "GET"),
    "/": Route("text-generation", "POST", is_list=True),
    "/generate": Route("text-generation", "POST"),
    "/api/whoami-v2": Route("whoami", "GET"),
}
_PREFIXES = (
    ("/v1/models/", "models", "GET"),
    ("/v2/", "hub", ""),
    ("/_sim/", "control", ""),
)


def find_route(path: str) -> Route:
    """The route of a path.

    >>> find_route("/v1/models/org%2Fname")
    Route(name='models', method='GET', endpoint=None, rest='org/name', is_list=False)
    >>> find_route("/endpoints/mine/v1/chat/completions").endpoint
    'mine'
    """
    fixed = _FIXED.get(path)
    if fixed is not None:
        return fixed
    if path.startswith("/endpoints/"):
        name, _, below = path.removeprefix("/endpoints/").partition("/")
        inner = find_route("/" + below)
        if inner.name in {"chat", "text-generation", "models"}:
            return Route(inner.name, inner.method, unquote(name), inner.rest, inner.is_list)
    for prefix, name, method in _PREFIXES:
        if path.startswith(prefix):
            return Route(name, method, rest=unquote(path.removeprefix(prefix)))
    return Route("unknown")
