"""What each API answers: from a request that was read to a reply in good order.

The first of these that objects writes an error: the key, the endpoint's state, the body, the model,
the length of the prompt, the token bucket. If none does, the reply function writes.

This module is pure but for the date in the replies.
"""

import time
from collections.abc import Sequence
from email.utils import formatdate
from hmac import compare_digest

from distilabel.testing import hub_api, openai_api, tgi_api
from distilabel.testing.http1 import HttpRequest
from distilabel.testing.openai_api import InvalidBodyError
from distilabel.testing.outgoing import ErrorShape, Headers, Reply
from distilabel.testing.ratelimit_headers import rate_limit_headers, retry_after_headers
from distilabel.testing.replies import DefaultReplies
from distilabel.testing.request import Completion, SimRequest, estimate_tokens
from distilabel.testing.routes import Route
from distilabel.testing.settings import Settings

__all__ = ["Answers", "error_shape"]

_MODELS = ("simulated-model", "gpt-3.5-turbo", "gpt-4o-mini")
_REPLY_TOKENS = 16  # what a request without max_tokens is charged for its reply, as by OpenAI
_SHAPES: dict[str, ErrorShape] = {
    "text-generation": tgi_api.error_body,
    "hub": hub_api.error_body,
    "whoami": hub_api.error_body,
}


def error_shape(route: str) -> ErrorShape:
    """How errors are written on a route."""
    return _SHAPES.get(route, openai_api.error_body)


class Answers:
    """Writes the replies of one simulated endpoint.

    Args:
        settings: how it behaves.
        base_url: where it listens.
    """

    def __init__(self, settings: Settings, base_url: str) -> None:
        self._settings = settings
        self._write = settings.reply or DefaultReplies(settings.seed)
        self._key = None if settings.require_key is None else settings.require_key.encode()
        self._date_s = -1
        self._constant: Headers = ()
        self.hub = hub_api.Hub(settings.endpoints, base_url)

    def headers(self, request: SimRequest) -> Headers:
        """The headers that every reply to this request has."""
        now_s = int(time.time())
        if now_s != self._date_s:
            self._date_s = now_s
            self._constant = (
                ("content-type", "application/json"),
                ("date", formatdate(now_s, usegmt=True)),
                ("server", "distilabel-simulator"),
            )
        kind = "req" if request.is_generation else "adm"
        return (*self._constant, ("x-request-id", f"{kind}_{request.index:012x}"))

    def answer(
        self,
        request: SimRequest,
        http: HttpRequest,
        route: Route,
        problem: InvalidBodyError | None,
        now_s: float,
    ) -> Reply:
        """The reply to a request; ``problem`` is what was wrong with its body."""
        refusal = self._refuse(request, http, route, now_s)
        if refusal is None and problem is not None:
            refusal = self._error(request, problem)
        if refusal is not None:
            return refusal
        if not request.is_generation:
            return self._administer(request, http, route, now_s)
        try:
            self._check(request)
            return self._throttle(request, now_s) or self._generate(request, route, now_s)
        except InvalidBodyError as error:
            return self._error(request, error)
        except Exception as error:  # noqa: BLE001 - the user's function may raise anything
            message = f"the reply function raised {type(error).__name__}: {error}"
            return self._error(request, InvalidBodyError(message, status=500))

    def _error(self, request: SimRequest, error: InvalidBodyError, further: Headers = ()) -> Reply:
        headers = self.headers(request) + further
        if error_shape(request.route) is openai_api.error_body:
            body = openai_api.error_body(
                error.status, error.message, param=error.param, code=error.code
            )
        else:
            body = error_shape(request.route)(error.status, error.message)
        return Reply(error.status, body, headers)

    def _refuse(
        self, request: SimRequest, http: HttpRequest, route: Route, now_s: float
    ) -> Reply | None:
        """What does not depend on the body: the route, the method, the key, the endpoint."""
        if route.name == "unknown":
            message = f"Unknown request URL: {http.method} {http.path}"
            return self._error(request, InvalidBodyError(message, status=404, code="unknown_url"))
        if route.method not in {"", http.method}:
            message = f"Not allowed to {http.method} on {http.path}"
            return self._error(request, InvalidBodyError(message, status=405))
        if self._key is not None and not self._is_key(http.head.value(b"authorization")):
            message = "Incorrect API key provided."
            return self._error(request, InvalidBodyError(message, status=401))
        if route.endpoint is None:
            return None
        turned_away = self.hub.admit(route.endpoint, now_s)
        return turned_away and Reply(*turned_away, self.headers(request))

    def _is_key(self, authorization: bytes | None) -> bool:
        scheme, _, key = (authorization or b"").partition(b" ")
        return scheme.lower() == b"bearer" and compare_digest(key.strip(), self._key or b"")

    def _check(self, request: SimRequest) -> None:
        models, limit = self._settings.models, self._settings.max_prompt_chars
        is_open = request.endpoint is not None or request.route != "chat"
        if not is_open and not request.model:
            raise InvalidBodyError("you must provide a model parameter", param="model")
        if not is_open and models is not None and request.model not in models:
            raise _unknown_model(request.model)
        if limit is not None and len(request.prompt) > limit:
            raise _too_long(request, limit)

    def _throttle(self, request: SimRequest, now_s: float) -> Reply | None:
        bucket = self._settings.bucket
        if bucket is None:
            return None
        tokens = estimate_tokens(request.prompt) + request.n * (request.max_tokens or _REPLY_TOKENS)
        wait_s = bucket.take(now_s, tokens)
        if wait_s == 0:
            return None
        message = f"Rate limit reached for {request.model}. Please try again in {wait_s:.3f}s."
        further = rate_limit_headers(bucket.statistics()) + retry_after_headers(wait_s)
        return self._error(request, InvalidBodyError(message, status=429), further)

    def _generate(self, request: SimRequest, route: Route, now_s: float) -> Reply:
        completions = _completions(self._write(request), request.n)
        headers = self.headers(request)
        if self._settings.bucket is not None:
            headers += rate_limit_headers(self._settings.bucket.statistics())
        if request.route == "chat":
            cache = self._settings.prompt_cache
            cached = None
            if cache is not None:
                cached = cache.look_up(request.model, request.prompt, now_s)
            body = openai_api.chat_body(request, completions, self._date_s, cached)
            return Reply(200, body, headers)
        headers += tgi_api.generation_headers(request, completions)
        body = tgi_api.generation_body(request, completions, is_list=route.is_list)
        return Reply(200, body, headers)

    def _administer(
        self, request: SimRequest, http: HttpRequest, route: Route, now_s: float
    ) -> Reply:
        headers = self.headers(request)
        if route.name == "whoami":
            return Reply(200, hub_api.whoami_body(), headers)
        if route.name == "hub":
            return Reply(*self.hub.manage(http.method, route.rest, now_s), headers)
        names = self._settings.models or _MODELS
        if route.endpoint is not None:
            names = (self.hub.model(route.endpoint),)
        if not route.rest:
            return Reply(200, openai_api.models_body(names), headers)
        if route.rest not in names:
            return self._error(request, _unknown_model(route.rest))
        return Reply(200, openai_api.model_body(route.rest), headers)


def _unknown_model(name: str) -> InvalidBodyError:
    message = f"The model `{name}` does not exist or you do not have access to it."
    return InvalidBodyError(message, status=404, code="model_not_found")


def _too_long(request: SimRequest, limit: int) -> InvalidBodyError:
    length, most = estimate_tokens(request.prompt), limit // 4
    if request.route == "chat":
        message = f"This model's maximum context length is {most} tokens. However, your messages"
        message += f" resulted in {length} tokens. Please reduce the length of the messages."
        return InvalidBodyError(message, param="messages", code="context_length_exceeded")
    message = f"Input validation error: `inputs` must have less than {most} tokens. Given: {length}"
    return InvalidBodyError(message, status=422)


def _completions(
    written: str | Completion | Sequence[str | Completion | None], n: int
) -> list[Completion]:
    if isinstance(written, str):
        return [Completion(written)] * n
    if isinstance(written, Completion):
        return [written] * n
    return [one if isinstance(one, Completion) else Completion(one) for one in written]
