"""A key is shown to its server and to nobody else."""

import contextlib
import dataclasses
import logging
import traceback
from collections.abc import Iterator

import httpx
import httpx2
import openai
import pytest

from distilabel.errors import RunFatalError
from distilabel.limits import Health
from distilabel.limits.health import HealthPolicy
from distilabel.llm import InferenceEndpointsLLM, OpenAILLM
from distilabel.llm.gate import Gate
from distilabel.pipeline import Pipeline, pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import (
    Faults,
    Hangup,
    Html,
    MalformedJson,
    NeverAnswers,
    Reset,
    SimRequest,
    Status,
    Truncated,
)

KEY = "sk-canary-0123456789abcdef"
"""Never a local variable: tracebacks with locals are searched for it."""
HEADER_KEY = "gateway-canary-0123456789"

FAULTS = [
    Status(401),
    Status(401, {"error": {"message": f"Incorrect API key provided: {KEY}."}}),
    Status(403, f"<html>Bearer {KEY} may not</html>"),
    Status(500, f"cannot handle {KEY}"),
    Status(413),
    Status(429, headers={"retry-after": "7200"}),
    Status(302, b"", {"location": "http://127.0.0.1:9/"}),
    Html(),
    Html(f"<p>{KEY}</p>"),
    MalformedJson(),
    Reset(),
    Reset(300),
    Hangup(),
    Truncated(),
    NeverAnswers(),
    Status(200, b"no gzip", {"content-encoding": "gzip"}),
]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and everything that hangs on it."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__]
        waiting += getattr(each, "exceptions", ())


def _told(error: BaseException) -> str:
    """All that a crash reporter would send home of our frames, and of those below them."""
    lines: list[str] = []
    for each in _chain(error):
        told = traceback.TracebackException.from_exception(each, capture_locals=True)
        frames = [frame for frame in told.stack if frame.filename != __file__]
        lines += [f"{frame} {frame.locals}" for frame in frames]
        lines += [*told.format_exception_only(), str(each), repr(each), repr(vars(each))]
    return "\n".join(lines)


def _client(kind: str):
    match kind:
        case "httpx":
            return httpx.AsyncClient(verify=False)  # noqa: S501 - loopback, and quick to make
        case "httpx2":
            return httpx2.AsyncClient(verify=False)
        case "openai":
            http = openai.DefaultAsyncHttpxClient(verify=False)
            return openai.AsyncOpenAI(api_key=KEY, http_client=http)
        case _:
            return contextlib.nullcontext()


@pytest.fixture(autouse=True)
def _key(monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", KEY)


@pytest.mark.parametrize("kind", ["own", "httpx", "httpx2", "openai"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault)[:40].replace(KEY, ""))
async def test_no_failure_tells_the_key(serve, quick, caplog, monkeypatch, kind, fault) -> None:
    """Errors, their locals, rows and the log at DEBUG are free of it, even if the server is not."""
    caplog.set_level(logging.DEBUG)
    endpoint = serve(script=Faults.always(fault))
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.openai_url)
    told: list[str] = []
    async with _client(kind) as client:
        llm = OpenAILLM(
            TextGenerationTask(),
            client=client,
            timeout=0.1 if isinstance(fault, NeverAnswers) else None,
        )
        llm.gate = Gate(llm.permits, Health(HealthPolicy(poll_s=0.001, alone_after_s=0.001)))
        llm.retry_policy = dataclasses.replace(quick, transient_retries_max=1)
        pipe = Pipeline(llm)
        told += [repr(llm), repr(pipe), str(llm.settings())]
        for on_error in ("raise", "collect"):
            try:
                async with pipe.stream([{"input": "a"}], on_error=on_error) as rows:
                    async for row in rows:
                        told += [repr(row), repr(row.errors)]
            except Exception as error:  # noqa: BLE001 - whatever users get
                told.append(_told(error))
    assert endpoint.ledger.requests
    assert all(call.has_key for call in endpoint.ledger.calls)
    assert [text for text in told if KEY in text] == []
    assert KEY not in caplog.text
    assert not any(KEY in repr(vars(record)) for record in caplog.records)


@pytest.mark.parametrize(
    "fault",
    [
        Status(401, {"error": {"message": f"no such key: {HEADER_KEY}"}}),
        Status(400, f"Bearer {HEADER_KEY} or {HEADER_KEY}", {"x-said": HEADER_KEY}),
    ],
    ids=["fatal", "of-a-row"],
)
@pytest.mark.parametrize(
    "headers",
    [{"api-key": HEADER_KEY}, {"X-Auth": f"Bearer {HEADER_KEY}"}],
    ids=["alone", "after-a-word"],
)
async def test_no_failure_tells_the_key_of_a_header(serve, caplog, fault, headers) -> None:
    """One that goes by `extra_headers`, as gateways want it, is kept like any other."""
    caplog.set_level(logging.DEBUG)
    endpoint = serve(script=Faults.always(fault))
    llm = OpenAILLM(
        TextGenerationTask(), base_url=endpoint.openai_url, extra_headers={**headers, "X-A": "said"}
    )
    told = [repr(llm), str(llm.settings())]
    try:
        async with Pipeline(llm).stream([{"input": "a"}]) as rows:
            async for row in rows:
                told += [repr(row), repr(row.errors)]
    except RunFatalError as error:
        told.append(_told(error))
    assert endpoint.ledger.requests
    assert "[key]" in "".join(told)
    assert [text for text in told if HEADER_KEY in text] == []
    assert HEADER_KEY not in caplog.text


@pytest.mark.parametrize(
    "settings",
    [
        {"num_threads": 0},
        {"base_url": "no URL"},
        {"base_url": "http://127.0.0.1:9/v1", "timeout": -1},
        {"base_url": "http://127.0.0.1:9/v1", "prompt_format": "no such"},
        {"client": object()},
        {"api_key": "sk-another"},
        {"api_key": "sk-with a blank"},
    ],
)
def test_a_constructor_that_refuses_does_not_tell_the_key(settings) -> None:
    """The frames of a constructor do not hold the key that was given to it."""
    with pytest.raises(ValueError) as caught:
        OpenAILLM(TextGenerationTask(), **{"openai_api_key": KEY, **settings})
    assert KEY not in _told(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"endpoint_name": ""},
        {"num_threads": 0},
        {"endpoint_namespace": "you"},
        {"client": "x"},
        {"token": f"{KEY} and a word"},
    ],
)
def test_the_constructor_for_endpoints_does_not_tell_the_token(settings) -> None:
    """The same holds for the token of an Inference Endpoint."""
    arguments = {"endpoint_name": "me/mine", "task": TextGenerationTask(), **settings}
    with pytest.raises(ValueError) as caught:
        InferenceEndpointsLLM(**{"token": KEY, **arguments})
    assert KEY not in _told(caught.value)


@pytest.mark.parametrize(
    "arguments", [("x",), ("preference", "x"), ("preference",), ("preference", "honesty", 7)]
)
def test_the_shortcut_does_not_tell_the_key(arguments) -> None:
    """`pipeline` that refuses its arguments holds no key in its frames."""
    generator = arguments[2] if len(arguments) > 2 else None
    with pytest.raises(ValueError) as caught:
        pipeline(*arguments[:2], generator=generator, openai_api_key=KEY)
    assert KEY not in _told(caught.value)


HUB = [
    Status(401),
    Status(403),
    Status(404),
    Status(500),
    Status(200, "<html>Welcome</html>"),
    Status(200, {}),
    Status(200, {"name": "mine"}),
    Status(302, b"", {"location": "http://127.0.0.1:9/"}),
    Reset(),
    Hangup(),
]


@pytest.mark.parametrize("fault", HUB, ids=lambda fault: str(fault)[:40].replace(KEY, ""))
@pytest.mark.parametrize("way", ["generate", "agenerate"])
def test_no_failure_of_the_hub_tells_the_token(serve_hub, caplog, monkeypatch, fault, way) -> None:
    """Whatever the management API does, the error is ours, and the token is in no frame or log."""
    from distilabel.errors import CallError
    from distilabel.llm.huggingface import deployment

    monkeypatch.setattr(deployment, "_POLL_FIRST_S", 0.001)
    caplog.set_level(logging.DEBUG)
    endpoint = serve_hub(script=Faults.on_route("hub", fault))
    llm = InferenceEndpointsLLM("mine", TextGenerationTask(), "me")
    with pytest.raises(CallError) as caught:  # noqa: PT012 - two ways
        if way == "generate":
            Pipeline(llm).generate([{"input": "a"}])
        else:
            llm.generate([{"input": "a"}])
    assert "me/mine" in str(caught.value) or "hub" in str(caught.value)
    assert KEY not in _told(caught.value)
    assert KEY not in caplog.text
    assert endpoint.ledger.requests == 0


def test_a_hub_that_is_not_there_is_an_error_of_ours(serve_hub, monkeypatch) -> None:
    """A management API that cannot be reached is a typed failure without the token."""
    from distilabel.errors import TransientError
    from distilabel.llm.huggingface import deployment

    monkeypatch.setattr(deployment, "_POLL_FIRST_S", 0.001)
    endpoint = serve_hub()
    endpoint.__exit__(None, None, None)
    with pytest.raises(TransientError, match="hub") as caught:
        Pipeline(InferenceEndpointsLLM("mine", TextGenerationTask(), "me")).generate([{"input": 1}])
    assert KEY not in _told(caught.value)


def test_a_key_goes_to_its_own_server_only(serve, monkeypatch) -> None:
    """Two LLMs with two keys do not mix them up, and the headers of one are not the other's."""
    seen: dict[str, set[str]] = {"a": set(), "b": set()}

    def keep(name: str):
        def reply(request: SimRequest) -> str:
            seen[name].add(request.headers["x-who"])
            return "fine"

        return reply

    first = serve(reply=keep("a"), require_key="sk-a")
    second = serve(reply=keep("b"), require_key="sk-b")
    monkeypatch.delenv("OPENAI_API_KEY")
    llms = [
        OpenAILLM(
            TextGenerationTask(),
            base_url=endpoint.openai_url,
            api_key=f"sk-{name}",
            extra_headers={"X-Who": name},
        )
        for name, endpoint in (("a", first), ("b", second))
    ]
    for llm in llms:
        assert llm.generate([{"input": "x"}])[0][0]["raw_output"] == "fine"
    assert seen == {"a": {"a"}, "b": {"b"}}
