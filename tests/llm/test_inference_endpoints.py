"""Inference Endpoints: found once, woken, waited for, and asked on the route that fits."""

import asyncio
import threading

import pytest
from huggingface_hub import InferenceEndpoint, get_inference_endpoint, hf_api

from distilabel.errors import MissingKeyError, RunFatalError, TransientError
from distilabel.llm import InferenceEndpointsLLM
from distilabel.llm.huggingface import deployment
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.tasks.prompt import Prompt
from distilabel.testing import Faults, HubEndpoint, Latency, SimRequest, Status

TASK = TextGenerationTask(system_prompt="S")
ROW = [{"input": "U"}]


@pytest.fixture(autouse=True)
def _polls_quickly(monkeypatch) -> None:
    monkeypatch.setattr(deployment, "_POLL_FIRST_S", 0.001)


@pytest.fixture
def llm_for(quick):
    """Makes LLMs for the endpoint me/mine."""

    def make(**settings) -> InferenceEndpointsLLM:
        arguments = {"endpoint_name": "mine", "endpoint_namespace": "me", "token": "hf_x"}
        llm = InferenceEndpointsLLM(task=settings.pop("task", TASK), **arguments | settings)
        llm.retry_policy = quick
        return llm

    return make


def _hub(state: str = "running", **settings) -> list[HubEndpoint]:
    return [HubEndpoint("mine", namespace="me", state=state, **settings)]


@pytest.mark.parametrize("state", ["running", "paused", "scaledToZero", "initializing", "pending"])
@pytest.mark.parametrize("polls", [0, 4])
def test_an_endpoint_is_woken_and_waited_for(serve_hub, llm_for, state, polls) -> None:
    """Whatever sleep it is in, the endpoint is resumed and waited for, at no attempt's cost."""
    endpoint = serve_hub(endpoints=_hub(state, polls_to_run=polls), reply=lambda _: "fine")
    result = Pipeline(llm_for()).generate(ROW)
    assert result["generations"][:] == [["fine"]]
    assert endpoint.ledger.requests == 1
    assert result.run.retries == 0
    assert result.run.calls == 1


@pytest.mark.parametrize(
    ("hub", "cause", "says"),
    [
        (_hub("failed"), "endpoint_failed", "failed"),
        (_hub("paused", comes_up="failed"), "endpoint_failed", "failed"),
        ([HubEndpoint("other", namespace="me")], "not_found", "Check the name"),
        ([HubEndpoint("mine", namespace="you")], "not_found", "me/mine"),
        ([], "not_found", "404"),
    ],
)
def test_an_endpoint_that_cannot_come_up_stops_the_run(
    serve_hub, llm_for, hub, cause, says
) -> None:
    """A failed or unknown endpoint is a clear error, and no row is asked for."""
    endpoint = serve_hub(endpoints=hub)
    with pytest.raises(RunFatalError, match=says) as caught:
        Pipeline(llm_for()).generate(ROW)
    assert caught.value.cause == cause
    assert endpoint.ledger.requests == 0


def test_a_hub_that_stumbles_is_asked_again(serve_hub, llm_for) -> None:
    """Two failures of the management API do no harm; a third one in a row is an error."""
    answers = iter([Status(500), Status(429)])
    endpoint = serve_hub(
        script=lambda r: next(answers, None) if r.route == "hub" else None, reply=lambda _: "fine"
    )
    assert Pipeline(llm_for()).generate(ROW)["generations"][:] == [["fine"]]
    assert endpoint.ledger.by_route["hub"] == 3
    broken = serve_hub(script=Faults.on_route("hub", Status(502)))
    with pytest.raises(TransientError, match="502"):
        Pipeline(llm_for()).generate(ROW)
    assert broken.ledger.by_route == {"hub": 3}


def test_without_a_token_nothing_is_asked(serve_hub, monkeypatch) -> None:
    """The error names the ways to give a token; a token of the environment is found."""
    import huggingface_hub

    endpoint = serve_hub(require_key="hf_found", reply=lambda _: "fine")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(MissingKeyError, match="HF_TOKEN"):
        Pipeline(InferenceEndpointsLLM("mine", TASK, "me")).generate(ROW)
    assert sum(endpoint.ledger.by_route.values()) == 0
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_found")
    result = Pipeline(InferenceEndpointsLLM("mine", TASK, "me")).generate(ROW)
    assert result["generations"][:] == [["fine"]]


@pytest.mark.parametrize("name", ["mine", "me/mine"])
def test_a_name_may_hold_its_namespace(serve_hub, name) -> None:
    """`namespace/name` and the two apart mean the same endpoint; its name is the model's."""
    serve_hub(endpoints=_hub(), reply=lambda _: "fine")
    namespace = None if "/" in name else "me"
    llm = InferenceEndpointsLLM(name, TASK, namespace, token="hf_x")
    assert llm.generate(ROW)[0][0]["model_name"] == "mine"
    assert "me/mine" in repr(llm)


def test_without_a_namespace_it_is_the_tokens_own(serve_hub, monkeypatch) -> None:
    """An endpoint of the user's own needs its name only: the hub is asked whose the token is."""
    endpoint = serve_hub(endpoints=[HubEndpoint("mine")], reply=lambda _: "fine")
    monkeypatch.setattr(hf_api.api, "endpoint", endpoint.url)
    llm = InferenceEndpointsLLM("mine", TASK, token="hf_x")
    assert llm.generate(ROW)[0][0]["raw_output"] == "fine"
    assert endpoint.ledger.by_route == {"whoami": 1, "hub": 1, "chat": 1}


class _Plain(TextGenerationTask):
    """Renders a text itself."""

    def generate_prompt(self, input: str) -> str:  # noqa: A002 - the column's name
        return Prompt(self.system_prompt, input).format_as("notus")


class _Chat(TextGenerationTask):
    """Renders messages itself."""

    def generate_prompt(self, input: str) -> list:  # noqa: A002 - the column's name
        return [{"role": "user", "content": input}]


@pytest.mark.parametrize(
    ("settings", "route"),
    [
        ({}, "chat"),
        ({"prompt_format": "openai"}, "chat"),
        ({"prompt_format": "zephyr"}, "text-generation"),
        ({"prompt_format": "default"}, "text-generation"),
        ({"prompt_formatting_fn": lambda prompt: prompt.formatted_prompt}, "text-generation"),
        ({"task": _Plain()}, "text-generation"),
        ({"task": _Plain(), "prompt_format": "openai"}, "text-generation"),
        ({"task": _Chat()}, "chat"),
        ({"task": _Chat(), "prompt_format": "notus"}, "chat"),
    ],
)
def test_the_prompts_kind_decides_the_route(serve_hub, llm_for, settings, route) -> None:
    """A text goes to the text-generation route, messages go to the chat route."""
    endpoint = serve_hub(reply=lambda _: "fine")
    result = Pipeline(llm_for(**settings)).generate(ROW)
    assert result["generations"][:] == [["fine"]]
    assert endpoint.ledger.by_route == {"hub": 1, route: 1}


SAMPLING = {
    "max_new_tokens": 9,
    "do_sample": True,
    "temperature": 0.7,
    "top_k": 5,
    "top_p": 0.9,
    "typical_p": 0.8,
    "repetition_penalty": 1.1,
    "stop_sequences": ["end"],
    "seed": 3,
}


def _bodies(serve_hub) -> list[dict]:
    bodies: list[dict] = []

    def reply(request: SimRequest) -> str:
        bodies.append(dict(request.body))
        return "fine"

    serve_hub(reply=reply)
    return bodies


def test_parameters_of_text_generation(serve_hub, llm_for) -> None:
    """All parameters arrive by the names that TGI knows, and nothing else does."""
    bodies = _bodies(serve_hub)
    llm_for(prompt_format="notus", **SAMPLING).generate(ROW)
    assert bodies[0]["inputs"] == Prompt("S", "U").format_as("notus")
    assert bodies[0]["parameters"] == {
        "max_new_tokens": 9,
        "do_sample": True,
        "temperature": 0.7,
        "top_k": 5,
        "top_p": 0.9,
        "typical_p": 0.8,
        "repetition_penalty": 1.1,
        "stop": ["end"],
        "seed": 3,
        "return_full_text": False,
        "details": True,
    }


def test_parameters_of_chats(serve_hub, llm_for) -> None:
    """The chat route gets what it knows; greedy means a temperature of 0 there."""
    bodies = _bodies(serve_hub)
    llm_for(**SAMPLING).generate(ROW)
    llm_for().generate(ROW)
    assert bodies[0]["messages"] == Prompt("S", "U").format_as("openai")
    assert bodies[0]["max_tokens"] == 9
    assert bodies[0]["temperature"] == 0.7
    assert bodies[0]["stop"] == ["end"]
    assert bodies[0]["seed"] == 3
    assert bodies[1]["temperature"] == 0.0
    assert "seed" not in bodies[1]


@pytest.mark.parametrize("prompt_format", ["openai", "notus"])
def test_generations_are_requests_with_seeds_of_their_own(
    serve_hub, llm_for, prompt_format
) -> None:
    """N generations are n requests at the same time, generation k with `seed + k`."""

    def seed_of(request: SimRequest) -> int:
        return int((request.body.get("parameters") or request.body)["seed"])

    endpoint = serve_hub(
        reply=lambda request: f"seed {seed_of(request)}", latency=Latency.constant(0.05)
    )
    result = Pipeline(llm_for(seed=10, prompt_format=prompt_format)).generate(
        ROW, num_generations=4
    )
    assert result["generations"][:] == [["seed 10", "seed 11", "seed 12", "seed 13"]]
    assert endpoint.ledger.requests == 4
    assert endpoint.ledger.peak_in_flight == 4


async def test_an_endpoint_is_looked_up_once(serve_hub, llm_for) -> None:
    """Runs, streams and calls after each other and at once share one look-up."""
    endpoint = serve_hub(reply=lambda _: "fine")
    llm = llm_for()
    pipe = Pipeline(llm)
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(pipe.agenerate(ROW * 3, enable_checkpoints=False))
            group.create_task(llm.agenerate(ROW))
    await pipe.agenerate(ROW)
    assert endpoint.ledger.by_route["hub"] == 1


async def test_the_loop_runs_while_the_hub_thinks(serve_hub, llm_for) -> None:
    """The hub's synchronous client does not block the event loop."""
    ticked = threading.Event()
    waits: list[bool] = []

    def script(request: SimRequest) -> None:
        if request.route == "hub":
            waits.append(ticked.wait(10))  # in the endpoint's thread: the loop must tick meanwhile

    async def tick() -> None:
        while not ticked.is_set():
            if endpoint.ledger.by_route["hub"]:
                ticked.set()
            await asyncio.sleep(0.001)

    endpoint = serve_hub(script=script, reply=lambda _: "fine")
    async with asyncio.TaskGroup() as group:
        group.create_task(tick())
        outputs = await llm_for().agenerate(ROW)
    assert outputs[0][0]["raw_output"] == "fine"
    assert waits == [True]


async def test_waiting_for_an_endpoint_can_be_left(serve_hub, llm_for) -> None:
    """A run that waits for an endpoint to start is cancelled at once, and tries anew later."""
    endpoint = serve_hub(endpoints=_hub("paused", polls_to_run=100_000), reply=lambda _: "fine")
    llm = llm_for()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await Pipeline(llm).agenerate(ROW)
    assert endpoint.ledger.requests == 0
    statistics = llm.permits.statistics()
    assert statistics.in_use == statistics.waiting == 0


async def test_an_endpoint_that_scales_to_zero_meanwhile_is_waited_for(serve_hub, llm_for) -> None:
    """Asleep again after the look-up, it answers 503 until it is up, which costs no attempt."""
    hub = [HubEndpoint("mine", namespace="me", seconds_to_run=0.02)]
    endpoint = serve_hub(endpoints=hub, reply=lambda _: "fine")
    llm = llm_for()
    await llm.agenerate(ROW)
    await asyncio.to_thread(_scale_to_zero)
    outputs = await llm.agenerate(ROW)
    assert outputs[0][0]["raw_output"] == "fine"
    assert endpoint.ledger.statuses[503] >= 1


def _scale_to_zero() -> InferenceEndpoint:
    return get_inference_endpoint("mine", namespace="me", token="hf_x").scale_to_zero()


async def test_an_endpoint_that_is_paused_meanwhile_is_resumed(serve_hub, llm_for) -> None:
    """Paused by somebody after the look-up, it is resumed and waited for."""
    serve_hub(endpoints=_hub(), reply=lambda _: "fine")
    llm = llm_for()
    await llm.agenerate(ROW)
    await asyncio.to_thread(
        lambda: get_inference_endpoint("mine", namespace="me", token="hf_x").pause()
    )
    async with asyncio.timeout(1):
        outputs = await llm.agenerate(ROW)
    assert outputs[0][0]["raw_output"] == "fine"
