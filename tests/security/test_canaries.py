"""Keys that can be told from all other text, looked for wherever a run leaves anything.

`tests/llm/test_secrets.py` looks into what failures tell. Here is the rest: what lies on the disk,
what is logged by whatever library at DEBUG, what can be printed, copied or pickled, and the other
ways in which a key gets into a program.
"""

import contextlib
import copy
import io
import logging
import os
import pickle  # noqa: TID251 - to see that nothing can be pickled
import subprocess
import sys
import traceback
from pathlib import Path

import httpx
import httpx2
import openai
import pytest
import rich.console
import rich.traceback

from distilabel.dataset import CustomDataset
from distilabel.errors import ConfigurationError, DistilabelError
from distilabel.llm import InferenceEndpointsLLM, OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask, UltraFeedbackTask
from distilabel.testing import Faults, Status
from distilabel.types import Reply

CANARY = "sk-canary-7f3a9c51e2d84b60"
LANES = ["own", "httpx", "httpx2", "sdk"]
ROWS = [{"input": f"row {number}"} for number in range(6)]


@pytest.fixture(autouse=True)
def _loud(caplog):
    """Every logger there is, at DEBUG."""
    caplog.set_level(logging.DEBUG)
    names = ("distilabel", "asyncio", "aiohttp", "httpx", "httpcore", "openai", "huggingface_hub")
    for name in names:
        caplog.set_level(logging.DEBUG, logger=name)


def hits(*places: object) -> list[str]:
    """Where the canary is, of texts, and of directories with all that lies in them."""
    found = []
    for place in places:
        if isinstance(place, Path):
            files = [file for file in place.rglob("*") if file.is_file()]
            found += [str(file) for file in files if CANARY.encode() in file.read_bytes()]
            found += [str(file) for file in files if CANARY in str(file)]
        elif CANARY in str(place):
            at = str(place).index(CANARY)
            found.append(str(place)[max(0, at - 150) : at + 50])
    return found


def told(error: BaseException) -> str:
    """What a traceback shows, plain and rich, with the locals of every frame below this file."""
    plain = traceback.TracebackException.from_exception(error, capture_locals=True)
    waiting, lines = [plain], []
    while waiting:
        each = waiting.pop()
        lines += [f"{frame.name} {frame.locals}" for frame in each.stack if not is_test(frame)]
        lines += each.format_exception_only()
        waiting += [other for other in (each.__cause__, each.__context__) if other is not None]
        waiting += each.exceptions or ()
    console = rich.console.Console(file=io.StringIO(), width=200)
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    shown = rich.traceback.Traceback.from_exception(type(error), error, trace, show_locals=True)
    console.print(shown)
    return "\n".join([*lines, console.file.getvalue(), repr(error), repr(vars(error))])


def is_test(frame: traceback.FrameSummary) -> bool:
    """Whether a frame is of a test: these hold the canary to look for it."""
    return frame.filename == __file__


@contextlib.asynccontextmanager
async def made(lane: str, url: str, **settings):
    """A backend of each kind that holds the canary."""
    match lane:
        case "own":
            client, key = None, {"openai_api_key": CANARY}
        case "httpx":
            client, key = httpx.AsyncClient(), {"api_key": CANARY}
        case "httpx2":
            client, key = httpx2.AsyncClient(), {"api_key": CANARY}
        case _:
            client, key = openai.AsyncOpenAI(api_key=CANARY, base_url=url), {}
    task = settings.pop("task", TextGenerationTask())
    yield OpenAILLM(task, "m", client, base_url=url, **key, **settings)
    if client is not None:
        await (getattr(client, "aclose", None) or client.close)()


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("way", ["argument", "environment"])
@pytest.mark.parametrize("status", [None, 401, 500, 422])
async def test_a_run_leaves_no_key_anywhere(
    serve, quick, tmp_path, caplog, capfd, monkeypatch, lane, way, status
):
    """Not in journals, locks, logs, events, summaries, rows, saved data sets, nor what prints."""
    if way == "environment":
        monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    # httpcore and the SDK log all headers of a reply at DEBUG: what a server puts there they tell.
    request_id = CANARY if lane == "own" else "req_1"
    body = None if status is None else {"error": {"message": f"Bad key {CANARY}", "code": CANARY}}
    fault = None if status is None else Status(status, body, {"x-request-id": request_id})
    endpoint = serve(require_key=CANARY, script=Faults.sequence([None, fault, fault]))
    events, shown = [], []
    async with (
        made(lane, endpoint.openai_url, num_threads=2) as writer,
        made(lane, endpoint.openai_url, task=UltraFeedbackTask.for_honesty()) as judge,
    ):
        writer.retry_policy = judge.retry_policy = quick
        pipe = Pipeline(writer, judge)
        run = {"checkpoint_dir": tmp_path / "run", "display_progress_bar": True}
        for _ in range(2):
            try:
                results = await pipe.agenerate(ROWS, **run, on_event=events.append)
            except DistilabelError as error:
                shown.append(told(error))
                continue
            results.save_to_disk(str(tmp_path / "saved"))
            again = CustomDataset.load_from_disk(str(tmp_path / "saved"))
            shown += [repr(results), repr(again.run), results[:], repr(again.task)]
        async with writer.session():
            shown += [repr(vars(lane.lane)) for lane in writer._lanes.values() if lane is None]
        for each in (pipe, writer, judge, writer.gate, writer.permits):
            shown += [repr(each), str(each), f"{each}"]
    shown += map(repr, events)
    printed = capfd.readouterr()
    records = [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    assert endpoint.ledger.requests
    assert all(call.has_key for call in endpoint.ledger.calls)
    assert hits(tmp_path, *shown, printed.out, printed.err, *records) == []


async def test_an_inference_endpoint_leaves_no_token_anywhere(
    serve_hub, quick, tmp_path, caplog, monkeypatch
):
    """The token goes to the hub and to the endpoint, and nowhere else."""
    monkeypatch.setenv("HF_TOKEN", CANARY)
    endpoint = serve_hub(require_key=CANARY, script=Faults.sequence([Status(500), Status(422)]))
    shown, events = [], []
    for token in (None, CANARY):
        llm = InferenceEndpointsLLM("mine", TextGenerationTask(), "me", token=token)
        llm.retry_policy = quick
        results = await Pipeline(llm).agenerate(
            ROWS, checkpoint_dir=tmp_path / str(token is None), on_event=events.append
        )
        results.save_to_disk(str(tmp_path / f"saved-{token is None}"))
        shown += [repr(llm), repr(results.run), *map(repr, events)]
        shown += [repr(llm._deployment), str(llm._deployment)]
    assert endpoint.ledger.paid
    assert hits(tmp_path, caplog.text, *shown) == []


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize(
    "way",
    [
        pickle.dumps,
        lambda llm: pickle.dumps(llm, protocol=0),
        copy.copy,
        copy.deepcopy,
        lambda llm: pickle.dumps(Pipeline(llm)),
        lambda llm: copy.deepcopy(Pipeline(llm)),
    ],
    ids=["pickle", "pickle 0", "copy", "deepcopy", "pickle a pipeline", "deepcopy a pipeline"],
)
async def test_a_backend_is_neither_pickled_nor_copied(lane, way):
    """It is refused, with a message that says what to do, and no key."""
    async with made(lane, "http://127.0.0.1:9/v1") as llm:
        with pytest.raises(TypeError, match="make it where it is used") as refused:
            way(llm)
    assert hits(told(refused.value)) == []


def test_errors_can_be_pickled_and_hold_no_key(serve, quick):
    """What crosses processes is what crosses logs."""
    endpoint = serve(script=Faults.always(Status(402, {"error": {"message": CANARY}})))
    llm = OpenAILLM(TextGenerationTask(), "m", base_url=endpoint.openai_url, api_key=CANARY)
    with pytest.raises(DistilabelError) as failed:
        llm.generate(ROWS)
    assert CANARY.encode() not in pickle.dumps(failed.value)


@pytest.mark.parametrize(
    "url",
    [
        f"http://{CANARY}@127.0.0.1:9/v1",
        f"http://user:{CANARY}@127.0.0.1:9/v1",
        f"http://127.0.0.1:9/v1?key={CANARY}",
        f"http://127.0.0.1:9/v1#{CANARY}",
        f"ftp://user:{CANARY}@127.0.0.1/v1",
        f"{CANARY}",
        f"http://[{CANARY}]/v1",
        f"http://127.0.0.1:{CANARY}/v1",
    ],
)
@pytest.mark.parametrize("way", ["argument", "environment"])
def test_a_url_that_holds_a_key_is_refused(monkeypatch, url, way):
    """The message does not repeat it, and neither do the locals of a frame."""
    settings = {"base_url": url} if way == "argument" else {}
    if way == "environment":
        monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(ConfigurationError) as refused:
        OpenAILLM(TextGenerationTask(), api_key="EMPTY", **settings)
    assert hits(told(refused.value)) == []


@pytest.mark.parametrize("lane", ["own", "httpx", "httpx2"])
@pytest.mark.parametrize("status", [None, 401, 500, 302])
async def test_a_key_in_further_headers_is_not_told_either(
    serve, quick, tmp_path, caplog, lane, status
):
    """`extra_headers` may hold keys, too: they are in no repr, log, file or traceback."""
    fault = None if status is None else Status(status, b"no")
    endpoint = serve(script=Faults.sequence([None, *[fault] * 20]))
    shown = []
    headers = {"api-key": CANARY, "Ocp-Apim-Subscription-Key": CANARY}
    async with made(lane, endpoint.openai_url, extra_headers=headers) as llm:
        llm.retry_policy = quick
        try:
            await Pipeline(llm).agenerate(ROWS, checkpoint_dir=tmp_path / "run")
        except DistilabelError as error:
            shown.append(told(error))
        shown += [repr(llm), repr(llm.settings())]
    assert hits(tmp_path, caplog.text, *shown) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("x-tag", value) for value in ("line\r\nbreak", "nul\0", 7, None, "ü")),
        *((name, "x") for name in ("a b", "", "x:", None, "x\r\ny")),
    ],
)
@pytest.mark.parametrize("backend", [OpenAILLM, InferenceEndpointsLLM])
def test_headers_that_cannot_be_sent_are_refused(backend, name, value):
    """The error names the header alone; what stands in the others is not shown."""
    headers = {"api-key": CANARY, name: value}
    server = {"base_url": "http://127.0.0.1:9/v1"}
    if backend is InferenceEndpointsLLM:
        server = {"endpoint_name": "me/mine", "token": CANARY}
    with pytest.raises(ConfigurationError, match="extra_headers") as refused:
        backend(task=TextGenerationTask(), extra_headers=headers, **server)
    assert hits(told(refused.value)) == []


@pytest.mark.parametrize("settings", [{"num_threads": 0}, {"timeout": -1}, {"client": object()}])
def test_a_constructor_that_refuses_does_not_tell_further_headers(settings):
    """Keys in `extra_headers` are in no frame of a constructor."""
    headers = {"api-key": CANARY}
    with pytest.raises(ConfigurationError) as refused:
        OpenAILLM(
            TextGenerationTask(),
            base_url="http://127.0.0.1:9/v1",
            extra_headers=headers,
            **settings,
        )
    assert hits(told(refused.value)) == []
    with pytest.raises(ConfigurationError) as refused:
        InferenceEndpointsLLM("me/mine", TextGenerationTask(), extra_headers=headers, **settings)
    assert hits(told(refused.value)) == []


@pytest.mark.parametrize("kind", ["http_proxy", "HTTP_PROXY"])
async def test_a_proxy_s_password_is_not_told(quick, tmp_path, caplog, monkeypatch, kind):
    """A proxy from the environment may hold a password, and may not answer."""
    monkeypatch.setenv(kind, f"http://user:{CANARY}@127.0.0.1:9")
    llm = OpenAILLM(TextGenerationTask(), "m", base_url="http://models.invalid/v1", api_key=CANARY)
    llm.retry_policy = quick
    shown = []
    for on_error in ("raise", "collect"):
        try:
            run = {"checkpoint_dir": tmp_path / on_error, "on_error": on_error}
            async with Pipeline(llm).stream(ROWS[:1], **run) as rows:
                shown += [repr(row) + repr(row.errors) async for row in rows]
        except DistilabelError as error:
            shown.append(told(error))
            shown += [repr(vars(each)) + repr(each.args) for each in chain(error)]
    assert len(shown) > 1
    assert hits(tmp_path, caplog.text, *shown) == []


def chain(error: BaseException | None):
    """An error and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


async def test_a_key_in_the_data_is_the_user_s_own_affair(serve, tmp_path):
    """The rig bites: what a row brings is kept, and found."""
    endpoint = serve()
    async with made("own", endpoint.openai_url) as llm:
        results = await Pipeline(llm).agenerate(
            [{"input": CANARY}], checkpoint_dir=tmp_path / "run", verbose=False
        )
    assert hits(tmp_path / "run", repr(results[0])) != []


def test_a_key_on_the_command_line_is_not_noted(serve, tmp_path):
    """The arguments of a program, and its environment, are in no file of its run."""
    program = """
import sys
from distilabel.llm import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
llm = OpenAILLM(TextGenerationTask(), "m", base_url=sys.argv[1], api_key=sys.argv[2])
Pipeline(llm).generate([{"input": "a"}], checkpoint_dir=sys.argv[3])
"""
    (tmp_path / "program.py").write_text(program)
    endpoint = serve(require_key=CANARY)
    command = [sys.executable, str(tmp_path / "program.py"), endpoint.openai_url, CANARY]
    done = subprocess.run(
        [*command, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OPENAI_API_KEY": CANARY},
    )
    assert endpoint.ledger.paid == 1
    assert hits(tmp_path / "run", done.stdout, done.stderr) == []


def test_what_a_server_repeats_is_cut_out_of_a_reply(serve, tmp_path):
    """A server that answers with the key it was sent does not get it into the data."""
    endpoint = serve(reply=lambda request: f"Your key is {CANARY}, is it not?")
    llm = OpenAILLM(TextGenerationTask(), "m", base_url=endpoint.openai_url, api_key=CANARY)
    results = Pipeline(llm).generate(ROWS, checkpoint_dir=tmp_path / "run", verbose=False)
    assert hits(tmp_path, repr(results[:])) == []
    assert repr(Reply((CANARY,)))  # a value knows no keys: whoever reads replies cuts them out
