"""Where an Inference Endpoint is, and whether it is up: the hub's management API, in a thread.

Rules:

- The hub is asked once per process and endpoint, before the first call; the answer is kept until
  the endpoint says that it sleeps.
- Its client has no timeout of its own, so that each question runs under a deadline. A thread that
  misses it is left behind; it holds nothing.
- A paused or scaled-to-zero endpoint is resumed; one that is starting is waited for, up to half an
  hour. A failed one is the owner's to mend.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
from pydantic import SecretStr

from distilabel.errors import ConfigurationError, MissingKeyError, RunFatalError, TransientError
from distilabel.limits import PermitPool
from distilabel.naming import named
from distilabel.transport.lane import bare

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Deployment"]

_log = logging.getLogger("distilabel")

_QUESTION_MAX_S = 30.0
_START_MAX_S = 1800.0
_POLL_FIRST_S = 0.5
_POLL_MAX_S = 10.0
_QUESTIONS_MAX = 3

_ASLEEP = frozenset({"paused", "scaledToZero"})
_HOPELESS = frozenset({"failed", "updateFailed"})


@dataclass(slots=True)
class Deployment:
    """One endpoint by name; its URL once it is up."""

    name: str
    namespace: str | None
    _url: str | None = None
    _is_up: bool = False
    _turn: PermitPool = field(default_factory=lambda: PermitPool(1))
    """Who looks it up; those who come meanwhile, from whatever loop, wait for the answer."""

    @classmethod
    def named(cls, name: str, namespace: str | None) -> Deployment:
        """The endpoint `namespace/name`, in either way of writing it."""
        owner, slash, rest = name.partition("/")
        if not slash:
            return cls(name, namespace)
        if namespace is not None and namespace != owner:
            raise ConfigurationError(
                f"endpoint {name!r} names the namespace {owner!r}, but "
                f"endpoint_namespace={namespace!r} was given too"
            )
        return cls(rest, owner)

    @property
    def full_name(self) -> str:
        """`namespace/name`, or the name alone."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def url(self) -> str:
        """Where the model answers, without a slash at the end."""
        if self._url is None:
            raise RuntimeError("the endpoint was not looked up yet: open a session first")
        return self._url

    async def ready(self, token: SecretStr | None) -> SecretStr:
        """Look the endpoint up, wake it if it sleeps, and wait until it answers.

        Returns:
            The token to call it with: the given one, or what the hub's own tools found.

        Raises:
            MissingKeyError: there is no token.
            RunFatalError: there is no such endpoint, it failed, or it did not start in time.
        """
        if token is None:
            token = SecretStr(await _in_thread(_found_token))
        if self._is_up:
            return token
        async with self._turn:
            if not self._is_up:
                self._url = (await self._running(token)).rstrip("/")
                self._is_up = True
        return token

    def fell_asleep(self) -> None:
        """Somebody paused it, or it was idle for too long: `ready` is to wake it again."""
        self._is_up = False

    async def _running(self, token: SecretStr) -> str:
        poll_s = _POLL_FIRST_S
        with anyio.move_on_after(_START_MAX_S):
            while True:
                endpoint = await self._ask(lambda: _look_up(self, token))
                if endpoint.status in _HOPELESS:
                    break
                if endpoint.url:
                    return str(endpoint.url)
                if endpoint.status in _ASLEEP:
                    _log.warning(
                        "the endpoint %s is %s: waking it", self.full_name, endpoint.status
                    )
                    await self._ask(endpoint.resume)
                await anyio.sleep(poll_s)
                poll_s = min(_POLL_MAX_S, poll_s * 1.5)
            raise RunFatalError(
                f"the endpoint {self.full_name} is in state {endpoint.status!r}. "
                f"Its owner has to look at it; nothing was spent.",
                cause="endpoint_failed",
            )
        raise RunFatalError(
            f"the endpoint {self.full_name} did not start within half an hour. "
            f"Look at its logs on the hub; nothing was spent.",
            cause="endpoint_not_started",
        )

    async def _ask(self, question: Callable[[], Any]) -> Any:
        """Ask the hub, a few times if it stumbles."""
        for attempt in range(1, _QUESTIONS_MAX + 1):
            try:
                return await _in_thread(lambda: _mapped(question, self.full_name))
            except TransientError:
                if attempt == _QUESTIONS_MAX:
                    raise
                await anyio.sleep(_POLL_FIRST_S * 2**attempt)
        raise AssertionError("unreachable")


async def _in_thread(question: Callable[[], Any]) -> Any:
    try:
        with anyio.fail_after(_QUESTION_MAX_S):
            return await anyio.to_thread.run_sync(question, abandon_on_cancel=True)
    except TimeoutError as error:
        raise TransientError(
            f"the hub's management API did not answer within {_QUESTION_MAX_S:.0f} s",
            cause="timeout",
        ) from error


def _found_token() -> str:
    import huggingface_hub

    token = huggingface_hub.get_token()
    if not token:
        raise MissingKeyError(
            "an Inference Endpoint needs a Hugging Face token and none was found. Pass "
            + named("token", python="token=")
            + ", set the environment variable HF_TOKEN, or run `hf auth login`."
        )
    return token


def _look_up(deployment: Deployment, token: SecretStr) -> Any:
    import huggingface_hub

    return huggingface_hub.get_inference_endpoint(
        deployment.name, namespace=deployment.namespace, token=token.get_secret_value()
    )


def _mapped(question: Callable[[], Any], who: str) -> Any:
    """The answer, or an error of ours. Causes lose their frames: the token is among the locals."""
    from huggingface_hub.errors import HfHubHTTPError, InferenceEndpointError

    try:
        return question()
    except HfHubHTTPError as error:
        raise _hub_error(error, who) from bare(error)
    except InferenceEndpointError as error:
        message = f"the endpoint {who}: {error}"
        raise RunFatalError(message, cause="endpoint_failed") from bare(error)
    except Exception as error:  # noqa: BLE001 - the hub's client may raise anything
        if isinstance(error, OSError) or _is_of_httpx(error):
            message = f"the hub cannot be reached: {type(error).__name__}: {error}"
            raise TransientError(message, cause="connect") from bare(error)
        raise RunFatalError(
            f"the endpoint {who}: the hub answered with what describes no endpoint "
            f"({type(error).__name__}). Is a proxy or a sign-in page in between?",
            cause="invalid_reply",
        ) from bare(error)


def _is_of_httpx(error: Exception) -> bool:
    """Whether the hub's HTTP client raised it: httpx or httpx2, as its release has it."""
    roots = {cls.__module__.partition(".")[0] for cls in type(error).__mro__}
    return not roots.isdisjoint({"httpx", "httpx2"})


def _hub_error(error: Any, who: str) -> RunFatalError | TransientError:
    status = error.response.status_code
    if status == 429 or status >= 500:
        return TransientError(f"the hub answered {status}", cause=f"http_{status}", status=status)
    advice = {
        401: ("authentication", "the token was not accepted. Check it"),
        403: ("permission", "the token may not see it. It needs the right to read endpoints"),
        404: ("not_found", "there is no such endpoint. Check the name and the namespace"),
    }
    cause, what = advice.get(status, (f"http_{status}", "the hub did not accept the question"))
    return RunFatalError(
        f"the endpoint {who}: the hub answered {status} - {what}.", cause=cause, status=status
    )
