"""Models deployed on Hugging Face Inference Endpoints.

A `str` prompt goes to the text-generation route (the endpoint's own URL), a message list to its
chat route. Name and namespace are resolved once, before the first call; an endpoint that is paused
or scaled to zero is resumed and waited for, which costs no attempt of any row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from distilabel.errors import ConfigurationError, WarmingError
from distilabel.llm.failures import failure_of
from distilabel.llm.http import HttpLLM, checked_key, hidden, hidden_headers
from distilabel.llm.huggingface.deployment import Deployment
from distilabel.llm.openai import read_chat_reply
from distilabel.llm.replies import read_text_generation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic import SecretStr

    from distilabel.tasks.base import Task
    from distilabel.tasks.prompt import Prompt, PromptFormat
    from distilabel.transport import Timeouts
    from distilabel.types import Call, Message, Price, PromptText, Reply

__all__ = ["InferenceEndpointsLLM"]


class InferenceEndpointsLLM(HttpLLM):
    """A deployed model; n generations are n requests, made at the same time.

    Args:
        endpoint_name: the endpoint's name, or "namespace/name".
        task: what to ask, and how to read the reply.
        endpoint_namespace: the user or organization that owns it. None: that of the token.
        token: a Hugging Face token; else what the hub's own tools find (`HF_TOKEN`, a login).
        max_new_tokens: the most tokens in one generation.
        repetition_penalty: as in TGI's reference, like the eight that follow; 1.0 means none.
        seed: generation k of a row is asked for with `seed + k`.
        do_sample: False: the likeliest token each time, so that generations of a row are equal.
        temperature: more than 0.
        top_k: sample from the k likeliest tokens.
        top_p: 0 to 1.
        typical_p: 0 to 1.
        stop_sequences: texts that end a generation.
        return_full_text: whether a text begins with its prompt (text-generation route only).
        watermark: as in TGI's reference (text-generation route only).
        endpoint_name_or_model_id: `endpoint_name`, by its name in other releases.
        client: an `AsyncClient` of httpx or httpx2 that requests go through.
        extra_headers: more headers.
        timeout: seconds for one attempt, or `Timeouts`. None: 600 in all, 120 to the first byte.
        num_threads: see `LLM`, as the other arguments.
        max_concurrency: see `LLM`.
        prompt_format: see `LLM`; by default a `Prompt` is sent as messages, and the endpoint
            applies its model's own chat template.
        prompt_formatting_fn: see `LLM`.
        price: see `LLM`. An endpoint that is billed by the hour has none.
        ask_once: see `LLM`; True for a `seed` of yours where the endpoint samples.
        adaptive: see `LLM`.
        requests_per_minute: see `LLM`.
        tokens_per_minute: see `LLM`.

    Raises:
        ConfigurationError: an argument cannot work. No call is made here.
    """

    default_prompt_format: ClassVar[PromptFormat] = "openai"
    generations_per_call: ClassVar[int | None] = 1

    def __init__(
        self,
        endpoint_name: str | None = None,
        task: Task | None = None,
        endpoint_namespace: str | None = None,
        token: str | SecretStr | None = None,
        max_new_tokens: int = 128,
        repetition_penalty: float | None = None,
        seed: int | None = None,
        do_sample: bool = False,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        typical_p: float | None = None,
        stop_sequences: Sequence[str] | None = None,
        *,
        return_full_text: bool = False,
        watermark: bool = False,
        endpoint_name_or_model_id: str | None = None,
        client: Any | None = None,
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
        token = hidden(token)  # before all that raises
        key = checked_key(token, name="token")
        if task is None:
            raise ConfigurationError("InferenceEndpointsLLM needs a task=")
        if endpoint_name and endpoint_name_or_model_id not in (None, endpoint_name):
            raise ConfigurationError(
                "endpoint_name and endpoint_name_or_model_id mean the same and differ. Give one."
            )
        name = endpoint_name or endpoint_name_or_model_id
        if not name:
            raise ConfigurationError("InferenceEndpointsLLM needs an endpoint_name=")
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
        self._deployment = Deployment.named(name, endpoint_namespace)
        self.model_name = self._deployment.name
        self._share_limits("huggingface", self._deployment.full_name)
        self._seed = seed
        self._sampling: dict[str, Any] = _given(
            temperature=temperature, top_p=top_p, repetition_penalty=repetition_penalty
        )
        self._only_generate: dict[str, Any] = _given(
            top_k=top_k, typical_p=typical_p, watermark=watermark or None
        )
        self.max_new_tokens = self._max_new_tokens = max_new_tokens
        self.temperature = temperature
        self._do_sample = do_sample
        self._stop = list(stop_sequences or ())
        self._return_full_text = return_full_text

    @property
    def endpoint_namespace(self) -> str | None:
        """The user or organization that owns the endpoint; None: that of the token."""
        return self._deployment.namespace

    @property
    def is_deterministic(self) -> bool:
        """Without `do_sample`, and without what makes TGI sample all the same.

        That is a temperature, `top_p` or `typical_p` other than 1, or a `top_k`: as in `sampling`
        of text_generation_server/utils/tokens.py.
        """
        warpers = {**self._sampling, **self._only_generate}
        is_plain = all(warpers.get(name, 1) == 1 for name in ("temperature", "top_p", "typical_p"))
        return not self._do_sample and is_plain and not warpers.get("top_k")

    async def complete(self, call: Call) -> Reply:
        """One request to the route that fits the prompt's kind."""
        await self._prepare()
        seed = None if self._seed is None else self._seed + call.first_generation
        try:
            if isinstance(call.prompt, str):
                return await self._generate(call.prompt, seed)
            return await self._chat(call.prompt, seed)
        except WarmingError as error:
            if error.cause == "asleep":
                self._deployment.fell_asleep()
            raise

    async def _generate(self, prompt: str, seed: int | None) -> Reply:
        parameters = {
            **self._sampling,
            **self._only_generate,
            **_given(seed=seed, stop=self._stop or None),
            "max_new_tokens": self._max_new_tokens,
            "do_sample": self._do_sample,
            "return_full_text": self._return_full_text,
            "details": True,
        }
        body = msgspec.json.encode({"inputs": prompt, "parameters": parameters})
        reply = await self._post(self._deployment.url, body)
        if not 200 <= reply.status < 300:
            raise failure_of(reply, who=self._who)
        return read_text_generation(reply, who=self._who)

    async def _chat(self, messages: list[Message], seed: int | None) -> Reply:
        body = {
            "model": "tgi",  # the endpoint serves one model and takes any name for it
            "messages": messages,
            "max_tokens": self._max_new_tokens,
            **self._sampling,
            **_given(seed=seed, stop=self._stop or None),
        }
        if not self._do_sample:
            body["temperature"] = 0.0  # the chat route has no do_sample; 0 means greedy there
        url = f"{self._deployment.url}/v1/chat/completions"
        return read_chat_reply(await self._post(url, msgspec.json.encode(body)), self._who)

    async def _prepare(self) -> None:
        self._key = await self._deployment.ready(self._key)

    def _origin(self) -> str:
        return self._deployment.url

    @property
    def _who(self) -> str:
        return f"the endpoint {self._deployment.full_name}"

    def settings(self) -> Mapping[str, Any]:
        """The endpoint, and the parameters that are the same for all rows."""
        return {
            "endpoint": self._deployment.full_name,
            **self._sampling,
            **self._only_generate,
            "max_new_tokens": self._max_new_tokens,
            "do_sample": self._do_sample,
            **_given(
                seed=self._seed,
                stop_sequences=self._stop or None,
                return_full_text=self._return_full_text or None,
            ),
        }


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
