"""Every argument of a backend that shows in its requests is one of its settings."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from distilabel.llm import InferenceEndpointsLLM, OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import HubEndpoint

TASK = TextGenerationTask(system_prompt="S")
ROW = [{"input": "U"}]

SHOWS_IN_THE_PROMPT = {
    "task": TextGenerationTask(system_prompt="Another."),
    "prompt_format": "zephyr",
    "prompt_formatting_fn": str,
}
"""They change the request through its prompt, which a reply's key holds besides the settings."""
DECIDES_NOTHING = {
    "client": None,
    "openai_api_key": "another-key",
    "api_key": "another-key",
    "token": "hf_another",
    "extra_headers": {"x-team": "another"},
    "timeout": 5.0,
    "num_threads": 2,
    "max_concurrency": 2,
    "price": (1.0, 1.0),
    "ask_once": True,
    "adaptive": False,
    "requests_per_minute": 600.0,
    "tokens_per_minute": 600_000.0,
}
"""Who asks, how fast, and how long it may take. (`client` has another test of its own.)"""
DECIDES = {
    "model": "another",
    "base_url": "http://127.0.0.1:9/v1",
    "endpoint_name": "another",
    "endpoint_name_or_model_id": "another",
    "endpoint_namespace": "you",
    "max_new_tokens": 7,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "repetition_penalty": 1.5,
    "temperature": 0.5,
    "top_p": 0.5,
    "top_k": 5,
    "typical_p": 0.5,
    "seed": 5,
    "do_sample": True,
    "stop": ["#"],
    "stop_sequences": ["#"],
    "response_format": {"type": "json_object"},
    "max_tokens_field": "max_completion_tokens",
    "extra_body": {"min_p": 0.1},
    "return_full_text": True,
    "watermark": True,
}
"""Another value for each argument that the server is to heed."""


def parameters(backend: type) -> list[tuple[type, str]]:
    """The names of all arguments, the future ones too."""
    return [(backend, name) for name in inspect.signature(backend).parameters]


def made(backend: type, url: str, **arguments: Any) -> OpenAILLM | InferenceEndpointsLLM:
    """A backend over a simulated endpoint, if no argument says otherwise."""
    if backend is OpenAILLM:
        return OpenAILLM(**{"task": TASK, "base_url": url} | arguments)
    names = {"task": TASK, "endpoint_name": "mine", "endpoint_namespace": "me", "token": "hf_x"}
    if "endpoint_name_or_model_id" in arguments:
        del names["endpoint_name"]
    return InferenceEndpointsLLM(**names | arguments)


@pytest.mark.parametrize(
    ("backend", "name"), [*parameters(OpenAILLM), *parameters(InferenceEndpointsLLM)]
)
async def test_what_changes_a_request_is_a_setting(serve_hub, backend, name):
    """Every argument is either a setting or leaves the requests as they are."""
    known = {**SHOWS_IN_THE_PROMPT, **DECIDES_NOTHING, **DECIDES}
    assert name in known, f"a new argument: say in this file whether {name} decides what comes back"
    endpoint = serve_hub(endpoints=[HubEndpoint("mine", namespace="me")])
    plain = made(backend, endpoint.openai_url)
    other = made(backend, endpoint.openai_url, **{name: known[name]})
    assert (plain.settings() != other.settings()) is (name in DECIDES)
    if name in DECIDES_NOTHING:
        for llm in (plain, other):
            for prompt_format in ("openai", "notus"):  # an endpoint's two routes
                llm.prompt_format = prompt_format
                await llm.agenerate(ROW)
        bodies = [call.body_hash for call in endpoint.ledger.calls if call.route != "hub"]
        chat, text, *again = bodies
        assert chat != text
        assert again == [chat, text]


def test_the_full_text_is_not_reused_for_the_bare_one(serve_hub):
    """A reply that begins with its prompt is none for a run that wants it bare."""
    endpoint = serve_hub(endpoints=[HubEndpoint("mine", namespace="me")])
    for is_full in (False, True, False):
        llm = made(
            InferenceEndpointsLLM,
            endpoint.openai_url,
            prompt_format="notus",
            return_full_text=is_full,
        )
        Pipeline(llm).generate(ROW, resume="always", verbose=False)
    assert endpoint.ledger.paid == 2


@pytest.mark.parametrize("backend", [OpenAILLM, InferenceEndpointsLLM])
@pytest.mark.parametrize("name", ["num_threads", "max_concurrency"])
def test_what_was_given_can_be_read(backend, name):
    """How warm and how many at once are attributes, and None where nothing was given."""
    url = "http://127.0.0.1:9/v1"
    llm = made(backend, url, temperature=0.5, **{name: 3})
    assert (llm.temperature, llm.num_threads, llm.max_concurrency) == (0.5, 3, 3)
    assert made(backend, url).num_threads is None


def test_the_temperature_is_the_one_that_is_sent():
    """A field of `extra_body` goes before the argument."""
    llm = made(OpenAILLM, "http://127.0.0.1:9/v1", temperature=1.0, extra_body={"temperature": 0.0})
    assert llm.temperature == 0.0
