"""OpenAI's chat completions, and every server that speaks them (vLLM, Ollama, OpenRouter, …).

The request is built from the arguments once; the reply is read by `distilabel.llm.replies`. No SDK
is needed. One may be given as `client=`; it is then used as it is, except for its retries.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import msgspec
from pydantic import SecretStr

from distilabel.errors import ConfigurationError, MissingKeyError
from distilabel.limits.prices import openai_price
from distilabel.limits.spending import prompt_tokens_max
from distilabel.llm.failures import failure_of
from distilabel.llm.http import HttpLLM, checked_key, hidden, hidden_headers
from distilabel.llm.replies import read_chat_completion
from distilabel.naming import named
from distilabel.transport.openai_lane import OpenAIClientLane, is_openai_client
from distilabel.types import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from distilabel.tasks.base import Task
    from distilabel.tasks.prompt import Prompt, PromptFormat
    from distilabel.transport import HttpReply, Lane, Timeouts
    from distilabel.types import Call, Message, Price, PromptText, Reply

__all__ = ["OpenAILLM", "as_messages"]

_OPENAI_URL = "https://api.openai.com/v1"
_LIMITS = ("max_completion_tokens", "max_tokens")
_UNBOUNDED = frozenset({"prediction", "web_search_options"})
"""Fields that have more tokens billed than are read and written."""
_UNLISTED = _UNBOUNDED | {"service_tier", "modalities", "audio"}
"""Fields that change what a token costs."""

_SECRET = re.compile(
    r"(^|[^a-z])(api)?(key|token|secret|password|passwd|auth|authorization|credentials?|bearer)"
    r"($|[^a-z])|[a-z](Key|Token|Secret|Password|Auth|Authorization|Credentials?)($|[^a-z])",
)
"""How fields for secrets are named: a word of its own, so that `tokenizer` is none."""


class OpenAILLM(HttpLLM):
    """A model behind `POST {base_url}/chat/completions`; n generations are one request.

    Args:
        task: what to ask, and how to read the reply.
        model: the model's name, as the server knows it.
        client: an `openai.AsyncOpenAI` (used with `max_retries=0`), or an `AsyncClient` of httpx or
            httpx2 that requests go through. None: a client of our own, the fastest way.
        openai_api_key: the key; else `OPENAI_API_KEY`. A server other than OpenAI's needs none.
        api_key: the same, by its other name.
        base_url: the server; else that of an `AsyncOpenAI` given as `client`, else
            `OPENAI_BASE_URL`, else OpenAI.
        max_new_tokens: the most tokens in one generation.
        frequency_penalty: as in OpenAI's reference, like the five that follow.
        presence_penalty: -2 to 2.
        temperature: 0 to 2.
        top_p: 0 to 1.
        seed: asks for the same answer to the same request; top-ups shift it.
        stop: texts that end a generation.
        response_format: as in OpenAI's reference.
        max_tokens_field: the request's name for `max_new_tokens`; None: "max_completion_tokens" for
            OpenAI's own server, "max_tokens", which all others know, elsewhere.
        extra_body: more fields of the request, as they are. Texts in fields that are named like
            secrets (`api_key`, `auth`, …) are not shown, and do not decide what is reused.
        extra_headers: more headers.
        timeout: seconds for one attempt, or `Timeouts`. None: 600 in all, 120 to the first byte.
        num_threads: see `LLM`, as the other arguments.
        max_concurrency: see `LLM`.
        prompt_format: see `LLM`.
        prompt_formatting_fn: see `LLM`.
        price: see `LLM`.
        ask_once: see `LLM`; True for a `seed` of yours at a temperature that is not 0.
        adaptive: see `LLM`.
        requests_per_minute: see `LLM`.
        tokens_per_minute: see `LLM`.

    Raises:
        MissingKeyError: OpenAI's own server needs a key and there is none.
        ConfigurationError: an argument cannot work. No call is made here.
    """

    default_prompt_format: ClassVar[PromptFormat] = "openai"

    def __init__(
        self,
        task: Task,
        model: str = "gpt-3.5-turbo",
        client: Any | None = None,
        openai_api_key: str | SecretStr | None = None,
        base_url: str | None = None,
        max_new_tokens: int = 128,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        temperature: float = 1.0,
        top_p: float = 1.0,
        *,
        api_key: str | SecretStr | None = None,
        seed: int | None = None,
        stop: str | Sequence[str] | None = None,
        response_format: Mapping[str, Any] | None = None,
        max_tokens_field: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        timeout: float | Timeouts | None = None,
        num_threads: int | None = None,
        max_concurrency: int | None = None,
        prompt_format: PromptFormat | None = None,
        prompt_formatting_fn: Callable[[Prompt], PromptText] | None = None,
        price: Price | tuple[float, float] | None = None,
        ask_once: bool | None = None,
        adaptive: bool = True,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
    ) -> None:
        headers = hidden_headers(extra_headers)
        del extra_headers  # like keys: a traceback can show the locals of its frames
        openai_api_key, api_key = hidden(openai_api_key), hidden(api_key)  # before all that raises
        given_url = hidden(base_url)
        del base_url  # by mistake, it may hold a key too
        given = _key(openai_api_key, api_key)
        key = _key_of(client) or given
        self.base_url = _base_url(_url_of(client, given_url) or given_url)
        if client is None and key is None and self._is_openai:
            raise _missing_key()
        super().__init__(
            task,
            key=key,
            client=client,
            timeout=timeout,
            extra_headers=headers,
            num_threads=num_threads,
            max_concurrency=max_concurrency,
            prompt_format=prompt_format,
            prompt_formatting_fn=prompt_formatting_fn,
            price=price,
            ask_once=ask_once,
            adaptive=adaptive,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
        )
        self._share_limits(self.base_url, model)
        self.model_name = model
        self._url = f"{self.base_url}/chat/completions"
        self._seed = seed
        tokens_field = max_tokens_field or (
            "max_completion_tokens" if self._is_openai else "max_tokens"
        )
        self._parameters: dict[str, Any] = {
            "model": model,
            tokens_field: max_new_tokens,
            "frequency_penalty": frequency_penalty,
            "presence_penalty": presence_penalty,
            "temperature": temperature,
            "top_p": top_p,
            **({"stop": stop} if stop is not None else {}),
            **({"response_format": response_format} if response_format is not None else {}),
            **(extra_body or {}),
        }
        self.max_new_tokens = max_new_tokens
        self.temperature: float = self._parameters["temperature"]
        self._further_bytes = len(msgspec.json.encode(self._parameters))
        if self.price is None and self._is_openai and _UNLISTED.isdisjoint(self._parameters):
            self.price = openai_price(model)

    @property
    def _is_openai(self) -> bool:
        return self.base_url == _OPENAI_URL

    @property
    def _who(self) -> str:
        return f"{self.model_name} at {urlsplit(self.base_url).netloc}"

    @property
    def is_deterministic(self) -> bool:
        """At temperature 0. OpenAI calls that "mostly" deterministic, and so is most of vLLM."""
        return self._parameters.get("temperature") == 0

    def tokens_max(self, call: Call) -> Usage | None:
        """As of any `LLM`; fields such as a schema or tools are read by the model, too."""
        limits = [self._parameters.get(name) for name in _LIMITS]
        written = [limit for limit in limits if isinstance(limit, int)]
        read = prompt_tokens_max(as_messages(call.prompt), further_bytes=self._further_bytes)
        if read is None or not written or not _UNBOUNDED.isdisjoint(self._parameters):
            return None
        return Usage(read, call.num_generations * max(written))

    async def complete(self, call: Call) -> Reply:
        """One request with `n=call.num_generations`."""
        body = dict(self._parameters, messages=as_messages(call.prompt), n=call.num_generations)
        if self._seed is not None:
            body["seed"] = self._seed + call.first_generation
        reply = await self._post(self._url, msgspec.json.encode(body))
        return read_chat_reply(reply, self._who)

    def settings(self) -> Mapping[str, Any]:
        """The server, and the request's fields that are the same for all rows."""
        seed = {} if self._seed is None else {"seed": self._seed}
        return {"base_url": self.base_url, **without_secrets(self._parameters), **seed}

    def _origin(self) -> str:
        return self.base_url

    def _check_client(self, client: object) -> None:
        if not is_openai_client(client):
            super()._check_client(client)

    def _open_lane(self) -> Lane:
        if self._client is not None and is_openai_client(self._client):
            return OpenAIClientLane(self._client, self._timeouts)
        return super()._open_lane()


def _missing_key() -> MissingKeyError:
    return MissingKeyError(
        "OpenAI needs an API key and none was given. Set the environment variable OPENAI_API_KEY, "
        "or pass "
        + named("openai_api_key", python="openai_api_key=")
        + ". For another server, pass "
        + named("base_url", python="base_url=")
        + "."
    )


def read_chat_reply(reply: HttpReply, who: str) -> Reply:
    """The texts of a chat completion, or the `CallError` that the reply stands for."""
    if not 200 <= reply.status < 300:
        raise failure_of(reply, who=who)
    return read_chat_completion(reply, who=who)


def without_secrets(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a request with `***` for texts that are named like secrets, at any depth.

    >>> without_secrets({"provider": {"apiKey": "abc"}, "min_tokens": 5, "tokenizer": "slow"})
    {'provider': {'apiKey': '***'}, 'min_tokens': 5, 'tokenizer': 'slow'}
    """
    return {name: _without_secrets(name, value) for name, value in fields.items()}


def _without_secrets(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return without_secrets(value)
    if isinstance(value, list | tuple):
        return [_without_secrets(name, each) for each in value]
    return "***" if isinstance(value, str) and _SECRET.search(name) else value


def as_messages(prompt: PromptText) -> list[Message]:
    """A prompt as a chat; a `str` is what the user says.

    >>> as_messages("Hi")
    [{'role': 'user', 'content': 'Hi'}]
    """
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def _base_url(given: SecretStr | None) -> str:
    """The server's URL; hidden until it is known to hold no key.

    Raises:
        ConfigurationError: it cannot work. Neither the message nor a frame's locals repeat it.
    """
    given = given or SecretStr(os.environ.get("OPENAI_BASE_URL") or _OPENAI_URL)
    url = SecretStr(given.get_secret_value().rstrip("/"))
    problem = _problem_of(url.get_secret_value())
    if problem:
        raise ConfigurationError(problem)
    return url.get_secret_value()


def _problem_of(url: str) -> str:
    """Why this cannot be a base_url; "" if it can."""
    example = "base_url must be a URL such as http://127.0.0.1:8000/v1"
    try:
        parts = urlsplit(url)
        is_server = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return f"{example}; its host or its port is none"
    if not is_server:
        return f"{example}; it does not begin with http:// or https:// and a host"
    if parts.username or parts.password:
        return "base_url must hold no key; pass openai_api_key= instead"
    if parts.query or parts.fragment:
        return f"{example}: nothing after ? or #. Pass a key as openai_api_key= or extra_headers="
    return ""


def _url_of(client: object, base_url: SecretStr | None) -> SecretStr | None:
    """Where a client of the SDK sends its requests; None: it is no such client."""
    if not is_openai_client(client):
        return None
    url = SecretStr(str(getattr(client, "base_url", "")).rstrip("/"))
    if base_url is not None and base_url.get_secret_value().rstrip("/") != url.get_secret_value():
        raise ConfigurationError(
            "base_url= and client= name different servers. Give the client alone; it has its own."
        )
    return url


def _key_of(client: object) -> SecretStr | None:
    """The key that a client of the SDK uses, which must not be shown either."""
    key: object = getattr(client, "api_key", None) if is_openai_client(client) else None
    return SecretStr(key) if isinstance(key, str) and key else None


def _key(openai_api_key: SecretStr | None, api_key: SecretStr | None) -> SecretStr | None:
    if openai_api_key and api_key and openai_api_key != api_key:
        raise ConfigurationError("openai_api_key and api_key mean the same and differ. Give one.")
    given = checked_key(openai_api_key or api_key, name="openai_api_key")
    return given or checked_key(hidden(os.environ.get("OPENAI_API_KEY")), name="OPENAI_API_KEY")
