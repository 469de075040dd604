"""What servers really send: each odd reply ends in one typed outcome, after so many calls.

A case says what the server sends to every request (or first, then in good order), and what becomes
of a row: texts, a cause in `.errors`, or a fatal error; and how many requests that took.
"""

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

import pytest

from distilabel.errors import RunFatalError
from distilabel.limits import Health, RetryPolicy
from distilabel.limits.health import HealthPolicy
from distilabel.llm import LLM, InferenceEndpointsLLM
from distilabel.llm.gate import Gate
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import (
    Completion,
    Drip,
    Fault,
    Hangup,
    Html,
    Huge,
    MalformedJson,
    NeverAnswers,
    Reset,
    SimRequest,
    Status,
    Truncated,
)
from distilabel.testing.outgoing import Ending, Outgoing

GOOD = "in good order"


@dataclass(frozen=True, slots=True)
class Raw(Fault):
    """These very bytes, then the end of the connection."""

    data: bytes
    ending: Ending = Ending.CLOSE

    def outgoing(self, reply: Any, error_shape: Any) -> Outgoing:
        """The bytes in place of the reply."""
        del reply, error_shape
        return Outgoing(200, (self.data,), self.ending, is_whole=False)


@dataclass(frozen=True, slots=True)
class Case:
    """What is sent, and what comes of it."""

    id: str
    fault: Fault
    texts: tuple[str | None, ...] | None = None
    """The row's generations, if it has any."""
    cause: str | None = None
    """The cause in the row's `.errors`."""
    fatal: str | None = None
    """The cause of the error that stops the run."""
    calls: int = 1
    """Requests that it takes."""
    n: int = 1
    """Generations asked for."""
    times: int = 1000
    """To how many requests it is sent, before all is in good order."""
    timeout_s: float | None = None


def completion(*contents: Any, **fields: Any) -> dict[str, Any]:
    """A chat completion with these contents."""
    choices = [
        {"index": k, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        for k, content in enumerate(contents)
    ]
    return {"choices": choices, "usage": {"prompt_tokens": 1, "completion_tokens": 2}, **fields}


def ok(body: Any, headers: Mapping[str, str] | None = None, status: int = 200) -> Status:
    """A reply in good order on the wire, with this body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Status(status, data, {"content-type": "application/json", **(headers or {})})


def raw(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> Raw:
    """A reply with this head and body, whether or not they fit each other."""
    head = b"\r\n".join([b"HTTP/1.1 " + status, b"content-type: application/json", *headers])
    return Raw(head + b"\r\n\r\n" + body)


def choice(**fields: Any) -> dict[str, Any]:
    """One choice with these fields."""
    return {"index": 0, "message": {"content": "x"}, "finish_reason": "stop", **fields}


def error(status: int, **fields: Any) -> Status:
    """An error as OpenAI writes it."""
    return ok({"error": {"message": "no", **fields}}, status=status)


FINE = json.dumps(completion("x")).encode()
LENGTH = b"content-length: %d" % len(FINE)
CHUNKED = b"transfer-encoding: chunked"
GZIP = {"content-encoding": "gzip"}
DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


def chunks(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + end


BODIES = [
    # A 200 that can be read, one way or another.
    Case("plain", ok(completion("x")), texts=("x",)),
    Case("empty text", ok(completion("")), texts=("",)),
    Case("nul", ok(completion("a\0b")), texts=("a\0b",)),
    Case("control characters", ok(completion("a\x1b[31mb")), texts=("a\x1b[31mb",)),
    Case(
        "lone surrogate",
        ok(b'{"choices":[{"message":{"content":"a\\ud800b"}}]}'),
        texts=("a\ufffdb",),
    ),
    Case(
        "pair of surrogates",
        ok(b'{"choices":[{"message":{"content":"\\ud83d\\ude00"}}]}'),
        texts=("\U0001f600",),
    ),
    Case("bom", ok(b"\xef\xbb\xbf" + FINE), texts=("x",)),
    Case("utf-16", ok(json.dumps(completion("é")).encode("utf-16")), texts=("é",)),
    Case("white space around", ok(b"\n\n  " + FINE + b"  \n"), texts=("x",)),
    Case("nan", ok(completion("x", logprob=float("nan"))), texts=("x",)),
    Case("nan in usage", ok(completion("x", usage={"prompt_tokens": float("nan")})), texts=("x",)),
    Case("infinity", ok(completion("x", extra=float("inf"))), texts=("x",)),
    Case("big number", ok(completion("x", created=10**400)), texts=("x",)),
    Case("usage null", ok(completion("x", usage=None)), texts=("x",)),
    Case("usage of texts", ok(completion("x", usage={"prompt_tokens": "many"})), texts=("x",)),
    Case("usage a list", ok(completion("x", usage=[1, 2])), texts=("x",)),
    Case("usage negative", ok(completion("x", usage={"prompt_tokens": -5})), texts=("x",)),
    Case(
        "usage details null",
        ok(completion("x", usage={"prompt_tokens_details": None})),
        texts=("x",),
    ),
    Case("usage absent", ok({"choices": [choice()]}), texts=("x",)),
    Case("model a number", ok(completion("x", model=4)), texts=("x",)),
    Case("finish reason a number", ok({"choices": [choice(finish_reason=1)]}), texts=("x",)),
    Case("index absent", ok({"choices": [{"message": {"content": "x"}}]}), texts=("x",)),
    Case("index a text", ok({"choices": [choice(index="0")]}), texts=("x",)),
    Case("index null", ok({"choices": [choice(index=None)]}), texts=("x",)),
    Case("error null beside choices", ok(completion("x", error=None)), texts=("x",)),
    Case(
        "content in parts",
        ok(completion([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])),
        texts=("ab",),
    ),
    Case(
        "content in odd parts",
        ok(completion([{"type": "image"}, 7, {"type": "text", "text": "b"}])),
        texts=("b",),
    ),
    Case("duplicate keys", ok(b'{"choices":[],' + FINE[1:]), texts=("x",)),
    Case("wrong content type", ok(FINE, {"content-type": "text/html"}), texts=("x",)),
    Case(
        "charset that is none",
        ok(FINE, {"content-type": "application/json; charset=no-such"}),
        texts=("x",),
    ),
    Case("201", ok(FINE, status=201), texts=("x",)),
    # Choices that do not fit what was asked for.
    Case("two of one", ok(completion("a", "b")), texts=("a",)),
    Case("five of three", ok(completion("a", "b", "c", "d", "e")), n=3, texts=("a", "b", "c")),
    Case("one of three each time", ok(completion("a")), n=3, texts=("a", "a", "a"), calls=3),
    Case(
        "two of three, then in order",
        ok(completion("a", "b")),
        n=3,
        times=1,
        texts=("a", "b", GOOD),
        calls=2,
    ),
    Case(
        "backwards",
        ok({"choices": completion("a", "b", "c")["choices"][::-1]}),
        n=3,
        texts=("a", "b", "c"),
    ),
    Case(
        "duplicate indices",
        ok({"choices": [choice(message={"content": "a"}), choice(message={"content": "b"})]}),
        n=2,
        texts=("a", "b"),
    ),
    Case(
        "one of two without text",
        ok(completion("a", None)),
        n=2,
        times=1,
        texts=("a", GOOD),
        calls=2,
    ),
    Case(
        "none but one, then no more",
        ok(completion("a", None, None)),
        n=3,
        times=1,
        texts=("a", GOOD, GOOD),
        calls=2,
    ),
    Case(
        "one filtered of two",
        ok(
            {
                "choices": [
                    choice(),
                    choice(index=1, message={"content": None}, finish_reason="content_filter"),
                ]
            }
        ),
        n=2,
        times=1,
        texts=("x", GOOD),
        calls=2,
    ),
    # A 200 of no use: three calls, all of them paid.
    Case("empty body", ok(b""), cause="not_json", calls=3),
    Case("204", ok(b"", status=204), cause="not_json", calls=3),
    Case("html", Html(), cause="not_json", calls=3),
    Case("half of the json", MalformedJson(), cause="not_json", calls=3),
    Case("two objects", ok(FINE + FINE), cause="not_json", calls=3),
    Case("event stream", ok(b"data: " + FINE + b"\n\ndata: [DONE]\n\n"), cause="not_json", calls=3),
    Case(
        "not utf-8",
        ok(b'{"choices":[{"message":{"content":"\xff\xfe\xfa"}}]}'),
        cause="not_json",
        calls=3,
    ),
    Case(
        "ten thousand deep", ok(b'{"a":' * 10_000 + b"1" + b"}" * 10_000), cause="not_json", calls=3
    ),
    Case("ten thousand lists deep", ok(b"[" * 10_000 + b"]" * 10_000), cause="not_json", calls=3),
    Case("a number of a million digits", ok(b"1" * 1_000_000), cause="not_json", calls=3),
    Case("null", ok(b"null"), cause="invalid_reply", calls=3),
    Case("a list", ok(b"[]"), cause="invalid_reply", calls=3),
    Case("a text", ok(b'"x"'), cause="invalid_reply", calls=3),
    Case("a number", ok(b"7"), cause="invalid_reply", calls=3),
    Case("empty object", ok({}), cause="no_choices", calls=3),
    Case("no choices", ok({"choices": []}), cause="no_choices", calls=3),
    Case("choices null", ok({"choices": None}), cause="no_choices", calls=3),
    Case("choices an object", ok({"choices": {"0": choice()}}), cause="no_choices", calls=3),
    Case("integer choices", ok({"choices": [1, 2]}), cause="content_none", calls=3),
    Case("choice null", ok({"choices": [None]}), cause="content_none", calls=3),
    Case("message null", ok({"choices": [choice(message=None)]}), cause="content_none", calls=3),
    Case("message a text", ok({"choices": [choice(message="x")]}), cause="content_none", calls=3),
    Case("content null", ok(completion(None)), cause="content_none", calls=3),
    Case("content a number", ok(completion(7)), cause="content_none", calls=3),
    Case("content an object", ok(completion({"text": "x"})), cause="content_none", calls=3),
    Case("content no parts", ok(completion([])), cause="content_none", calls=3),
    Case(
        "content parts without text",
        ok(completion([{"type": "image"}])),
        cause="content_none",
        calls=3,
    ),
    Case(
        "a tool's call",
        ok({"choices": [choice(message={"content": None, "tool_calls": []})]}),
        cause="content_none",
        calls=3,
    ),
    Case("no use, then good", ok({}), times=2, texts=(GOOD,), calls=3),
    Case(
        "filtered",
        ok({"choices": [choice(message={"content": None}, finish_reason="content_filter")]}),
        cause="content_filter",
    ),
    # An error in the clothes of a 200.
    Case("error in a 200", ok({"error": {"message": "no"}}), cause="invalid_reply", calls=3),
    Case("error text in a 200", ok({"error": "no"}), cause="invalid_reply", calls=3),
    Case("error true in a 200", ok({"error": True}), cause="invalid_reply", calls=3),
    Case(
        "error with an odd code",
        ok({"error": {"code": "\uff12\uff12\uff13"}}),
        cause="invalid_reply",
        calls=3,
    ),
    Case("error 500 in a 200", ok({"error": {"code": 500}}), cause="http_500", calls=6),
    Case("error 400 in a 200", ok({"error": {"code": 400}}), cause="http_400"),
    Case("error 402 in a 200", ok({"error": {"code": 402}}), fatal="payment_required"),
    Case(
        "error 429 in a 200, then good",
        ok({"error": {"code": 429}}),
        times=1,
        texts=(GOOD,),
        calls=2,
    ),
    Case(
        "error 429 beside no choices, then good",
        ok({"error": {"code": 429}, "choices": []}),
        times=1,
        texts=(GOOD,),
        calls=2,
    ),
    Case(
        "error 400 beside null choices",
        ok({"error": {"code": "400"}, "choices": None}),
        cause="http_400",
    ),
]

WIRE = [
    # What is wrong on the wire is nobody's fault: six calls, none of them counted as paid.
    Case("reset at once", Reset(), cause="connection", calls=6),
    Case("reset in the head", Reset(10), cause="connection", calls=6),
    Case("reset in the body", Reset(300), cause="truncated", calls=6),
    Case("reset once", Reset(), times=1, texts=(GOOD,), calls=2),
    Case("hang up", Hangup(), cause="connection", calls=6),
    Case("truncated", Truncated(), cause="truncated", calls=6),
    Case("truncated after nothing", Truncated(0), cause="truncated", calls=6),
    Case("truncated once", Truncated(), times=1, texts=(GOOD,), calls=2),
    Case("never answers", NeverAnswers(), cause="timeout", calls=6, timeout_s=0.03),
    Case("never ends", Drip(0.02, 3), cause="timeout", calls=6, timeout_s=0.05),
    Case("not http", Raw(b"220 smtp ready\r\n"), cause="protocol", calls=6),
    Case(
        "a head without end",
        Raw(b"HTTP/1.1 200 OK\r\ncontent-type: text"),
        cause="connection",
        calls=6,
    ),
    Case("a huge header", raw(FINE, b"x: " + b"y" * 100_000, LENGTH), cause="protocol", calls=6),
    Case("http/1.0 without a length", Raw(b"HTTP/1.0 200 OK\r\n\r\n" + FINE), texts=("x",)),
    Case("no length", raw(FINE), texts=("x",)),
    Case("a length that is none", raw(FINE, b"content-length: ten"), cause="protocol", calls=6),
    Case("two lengths", raw(FINE, LENGTH, b"content-length: 7"), cause="protocol", calls=6),
    Case("more than its length", raw(FINE + b"garbage", LENGTH), cause="protocol", calls=6),
    Case("chunked", raw(chunks(FINE[:9], FINE[9:]), CHUNKED), texts=("x",)),
    Case("a byte a chunk", raw(chunks(*[b"%c" % byte for byte in FINE]), CHUNKED), texts=("x",)),
    Case(
        "chunked with a trailer",
        raw(chunks(FINE, end=b"0\r\nx-t: 1\r\n\r\n"), CHUNKED),
        texts=("x",),
    ),
    Case("chunked without an end", raw(chunks(FINE, end=b""), CHUNKED), cause="truncated", calls=6),
    Case("chunk of a size that is none", raw(b"zz\r\n" + FINE, CHUNKED), cause="protocol", calls=6),
    Case("chunk cut off", raw(b"ffff\r\n" + FINE, CHUNKED), cause="truncated", calls=6),
    Case(
        "informational first",
        Raw(b"HTTP/1.1 103 Early Hints\r\n\r\n" + raw(FINE, LENGTH).data),
        texts=("x",),
    ),
    Case("gzip", ok(gzip.compress(FINE), GZIP), texts=("x",)),
    Case("deflate", ok(zlib.compress(FINE), {"content-encoding": "deflate"}), texts=("x",)),
    Case("gzip that is none", ok(FINE, GZIP), cause="truncated", calls=6),
    Case(
        "gzip garbage",
        ok(gzip.compress(FINE)[:10] + b"garbage" * 9, GZIP),
        cause="truncated",
        calls=6,
    ),
    Case("gzip cut off", ok(gzip.compress(FINE * 99)[:-20], GZIP), cause="not_json", calls=3),
    Case("an encoding unheard of", ok(FINE, {"content-encoding": "rot13"}), texts=("x",)),
    Case("identity", ok(FINE, {"content-encoding": "identity"}), texts=("x",)),
    Case("over the cap", Huge(33), cause="reply_too_large", calls=6),
    Case(
        "over the cap once unpacked", Huge(33, is_compressed=True), cause="reply_too_large", calls=6
    ),
    Case("below the cap", ok(completion("y" * 3_000_000)), texts=("y" * 3_000_000,)),
]

STATUSES = [
    Case("400", Status(400), cause="http_400"),
    Case("400 html", Status(400, "<html>no</html>"), cause="http_400"),
    Case("400 context", error(400, code="context_length_exceeded"), cause="context_length"),
    Case(
        "400 context in words",
        error(400, message="maximum context length is 8"),
        cause="context_length",
    ),
    Case("400 filter", error(400, code="content_filter"), cause="content_filter"),
    Case("400 not json", Status(400, b"\xff\x00{"), cause="http_400"),
    Case("400 ten thousand deep", Status(400, b"[" * 10_000), cause="http_400"),
    Case("400 error null", ok({"error": None}, status=400), cause="http_400"),
    Case("400 a list", ok([1], status=400), cause="http_400"),
    Case("409", Status(409), cause="http_409", calls=6),
    Case("408", Status(408), cause="http_408", calls=6),
    Case("413", Status(413), cause="context_length"),
    Case("418", Status(418), cause="http_418"),
    Case("422", Status(422), cause="http_422"),
    Case("425", Status(425), cause="http_425", calls=6),
    Case("500", Status(500), cause="http_500", calls=6),
    Case("500 twice", Status(500), times=2, texts=(GOOD,), calls=3),
    Case("502 html", Status(502, "<html>Bad Gateway</html>"), cause="http_502", calls=6),
    Case("503", Status(503), cause="http_503", calls=6),
    Case("504 empty", Status(504, b""), cause="http_504", calls=6),
    Case("599", Status(599), cause="http_599", calls=6),
    Case(
        "503 loading, then good",
        ok({"error": "loading", "estimated_time": 0.001}, status=503),
        times=8,
        texts=(GOOD,),
        calls=9,
    ),
    Case(
        "503 loading without a time",
        error(503, message="Model is loading"),
        times=1,
        texts=(GOOD,),
        calls=2,
    ),
    Case("401 twice", Status(401), fatal="authentication", calls=2),
    Case("401 once", Status(401), times=1, texts=(GOOD,), calls=2),
    Case("402", Status(402), fatal="payment_required"),
    Case("403 twice", Status(403), fatal="permission", calls=2),
    Case("404", Status(404), fatal="not_found"),
    Case("405", Status(405), fatal="wrong_url"),
    Case("410", Status(410), fatal="gone"),
    Case("no quota", error(429, code="insufficient_quota"), fatal="insufficient_quota"),
    *[
        Case(
            f"{code} elsewhere",
            Status(code, b"", {"location": "http://127.0.0.1:9/"}),
            fatal="redirect",
        )
        for code in (300, 301, 302, 303, 304, 307, 308)
    ],
    Case("redirect without a place", Status(302, b""), fatal="redirect"),
]


def throttled(**headers: str) -> Status:
    """A 429 with these headers."""
    return Status(429, headers={name.replace("_", "-"): value for name, value in headers.items()})


THROTTLES = [
    # A throttle costs no attempt, whatever it says and however often; a week is not waited for.
    *[
        Case(f"{name}", throttled(**headers), times=9, texts=(GOOD,), calls=10)
        for name, headers in {
            "says nothing": {},
            "seconds": {"retry_after": "0.002"},
            "zero": {"retry_after": "0"},
            "negative": {"retry_after": "-5"},
            "milliseconds": {"retry_after_ms": "2", "retry_after": "900"},
            "a date": {"retry_after": DATE, "date": DATE},
            "a date gone by": {"retry_after": formatdate(0, usegmt=True)},
            "a date of the old kind": {
                "retry_after": "Wednesday, 21-Oct-26 07:28:00 GMT",
                "date": DATE,
            },
            "no date": {"retry_after": "soon"},
            "a date that is none": {"retry_after": "Wed, 99 Oct 2026 99:99:99 GMT"},
            "empty": {"retry_after": ""},
            "not a number": {"retry_after": "nan"},
            "without end": {"retry_after": "inf"},
            "rate limit headers": {
                "x_ratelimit_remaining_requests": "0",
                "x_ratelimit_reset_requests": "2ms",
            },
            "rate limit headers of no use": {
                "x_ratelimit_remaining_tokens": "0",
                "x_ratelimit_reset_tokens": "tomorrow",
            },
            "rate limit with something left": {
                "x_ratelimit_remaining_requests": "5",
                "x_ratelimit_reset_requests": "6m0s",
            },
        }.items()
    ],
    Case("529", Status(529), times=9, texts=(GOOD,), calls=10),
    Case("a week", throttled(retry_after="604800"), fatal="wait_too_long"),
    Case(
        "a date in the year 9999",
        throttled(retry_after="Fri, 31 Dec 9999 23:59:59 GMT"),
        fatal="wait_too_long",
    ),
    Case("a huge number", throttled(retry_after="1e300"), fatal="wait_too_long"),
    Case("a 503 of a week", Status(503, headers={"retry-after": "604800"}), fatal="wait_too_long"),
    Case("loading for a week", ok({"estimated_time": 604800}, status=503), fatal="wait_too_long"),
]

CASES = [*BODIES, *WIRE, *STATUSES, *THROTTLES]


def _row_of(pipe: Pipeline, case: Case) -> Any:
    with pipe.iterate([{"input": "a"}], num_generations=case.n) as rows:
        return next(rows)


def _hasten(llm: LLM) -> None:
    """The usual rules, with waits of a millisecond."""
    llm.retry_policy = RetryPolicy(
        transient_base_s=0.001, throttle_base_s=0.001, warming_wait_s=0.001
    )
    health = Health(HealthPolicy(probe_first_s=0.001, poll_s=0.001, alone_after_s=0.001))
    llm.gate = Gate(llm.permits, health)


@pytest.fixture
def pipe_for(serve, writer):
    """A pipeline over a server that sends what a case says; the server."""

    def make(case: Case, **settings):
        def script(request: SimRequest) -> Fault | None:
            return case.fault if request.index < case.times else None

        def reply(request: SimRequest) -> list[Completion]:
            return [Completion(GOOD)] * request.n

        endpoint = serve(script=script, reply=reply)
        llm = writer(endpoint, timeout=case.timeout_s, **settings)
        _hasten(llm)
        return Pipeline(llm), endpoint

    return make


def test_there_are_enough_odd_replies() -> None:
    """There are more than sixty cases, each with one outcome, and no two of one name."""
    assert len(CASES) > 60
    assert len({case.id for case in CASES}) == len(CASES)
    for case in CASES:
        outcomes = [case.texts is not None, case.cause is not None, case.fatal is not None]
        assert outcomes.count(True) == 1, case.id


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_an_odd_reply_has_one_typed_outcome(pipe_for, case) -> None:
    """The row's texts, its cause or the run's fatal error are as expected, and so are the calls."""
    pipe, endpoint = pipe_for(case)
    if case.fatal is not None:
        with pytest.raises(RunFatalError) as caught:
            _row_of(pipe, case)
        assert caught.value.cause == case.fatal
    else:
        row = _row_of(pipe, case)
        if case.texts is not None:
            assert row["generations"] == list(case.texts)
            assert row.errors == ()
        else:
            assert row["generations"] == [None] * case.n
            assert [e.cause for e in row.errors] == [case.cause] * case.n
            assert [e.attempts for e in row.errors] == [case.calls] * case.n
            assert row.errors[0].message.isprintable()
    assert endpoint.ledger.requests == case.calls
    statistics = pipe.generator.permits.statistics()
    assert statistics.in_use == statistics.waiting == 0


TGI = [
    Case("tgi list", ok([{"generated_text": "x"}]), texts=("x",)),
    Case("tgi object", ok({"generated_text": "x"}), texts=("x",)),
    Case("tgi two of one", ok([{"generated_text": "x"}, {"generated_text": "y"}]), texts=("x",)),
    Case("tgi empty text", ok([{"generated_text": ""}]), texts=("",)),
    Case("tgi details null", ok({"generated_text": "x", "details": None}), texts=("x",)),
    Case("tgi details a list", ok({"generated_text": "x", "details": [1]}), texts=("x",)),
    Case(
        "tgi odd details",
        ok({"generated_text": "x", "details": {"generated_tokens": "3", "finish_reason": 1}}),
        texts=("x",),
    ),
    Case("tgi surrogate", ok(b'{"generated_text": "a\\udc00"}'), texts=("a\ufffd",)),
    Case("tgi bom", ok(b'\xef\xbb\xbf{"generated_text": "x"}'), texts=("x",)),
    Case("tgi 201", ok({"generated_text": "x"}, status=201), texts=("x",)),
    Case("tgi empty list", ok([]), cause="invalid_reply", calls=3),
    Case("tgi list of texts", ok(["x"]), cause="invalid_reply", calls=3),
    Case("tgi null", ok(b"null"), cause="invalid_reply", calls=3),
    Case("tgi no text", ok({}), cause="content_none", calls=3),
    Case("tgi text null", ok([{"generated_text": None}]), cause="content_none", calls=3),
    Case("tgi text a number", ok([{"generated_text": 1}]), cause="content_none", calls=3),
    Case("tgi a chat", ok(completion("x")), cause="content_none", calls=3),
    Case("tgi html", Html(), cause="not_json", calls=3),
    Case("tgi empty body", ok(b""), cause="not_json", calls=3),
    Case("tgi 204", ok(b"", status=204), cause="not_json", calls=3),
    Case("tgi deep", ok(b"[" * 10_000), cause="not_json", calls=3),
    Case("tgi error in a 200", ok({"error": "CUDA"}), cause="invalid_reply", calls=3),
    Case(
        "tgi 422",
        ok({"error": "too long", "error_type": "validation"}, status=422),
        cause="http_422",
    ),
    Case("tgi 424", Status(424), cause="http_424", calls=6),
    Case("tgi 429 overloaded", Status(429), times=9, texts=(GOOD,), calls=10),
    Case("tgi 500", Status(500), cause="http_500", calls=6),
    Case(
        "tgi 503 loading",
        ok({"estimated_time": 0.001}, status=503),
        times=5,
        texts=(GOOD,),
        calls=6,
    ),
    Case("tgi 404", Status(404), fatal="not_found"),
    Case("tgi elsewhere", Status(302, b"", {"location": "http://127.0.0.1:9/"}), fatal="redirect"),
    Case("tgi truncated", Truncated(), cause="truncated", calls=6),
    Case("tgi over the cap", Huge(33), cause="reply_too_large", calls=6),
]


@pytest.mark.parametrize("case", TGI, ids=lambda case: case.id)
def test_an_odd_reply_of_text_generation_has_one_typed_outcome(serve_hub, case) -> None:
    """What holds for chats holds for the text-generation route of an endpoint."""

    def script(request: SimRequest) -> Fault | None:
        return case.fault if request.is_generation and request.index < case.times else None

    endpoint = serve_hub(script=script, reply=lambda _: GOOD)
    llm = InferenceEndpointsLLM(
        "mine", TextGenerationTask(), "me", token="hf_x", prompt_format="notus"
    )
    _hasten(llm)
    if case.fatal is not None:
        with pytest.raises(RunFatalError) as caught:
            _row_of(Pipeline(llm), case)
        assert caught.value.cause == case.fatal
    else:
        row = _row_of(Pipeline(llm), case)
        assert row["generations"] == list(case.texts or [None])
        assert [e.cause for e in row.errors] == ([case.cause] if case.cause else [])
    assert endpoint.ledger.by_route["text-generation"] == case.calls


def section(number: int, rating: str, rationale: str = "Fine.") -> str:
    """A judge's section in good order."""
    return f"#### Output for Text {number}\nRating: {rating}\nRationale: {rationale}\n"


GOOD_SECTIONS = section(1, "4") + section(2, "2")
JUDGES = {
    "in good order": (GOOD_SECTIONS, [4.0, 2.0], []),
    "in another order": (section(2, "2") + section(1, "4"), [4.0, 2.0], []),
    "with a name": (section(1, "5 (Excellent)") + section(2, "2"), [5.0, 2.0], []),
    "as a fraction": (section(1, "4/5") + section(2, "2 / 5"), [4.0, 2.0], []),
    "with a decimal": (section(1, "4.5") + section(2, "2"), [4.5, 2.0], []),
    "not applicable": (section(1, "N/A") + section(2, "2"), [None, 2.0], ["rating_not_applicable"]),
    "one missing": (section(2, "2"), [None, 2.0], ["section_missing"]),
    "off the scale": (section(1, "7") + section(2, "2"), [None, 2.0], ["rating_off_scale"]),
    "below the scale": (section(1, "0") + section(2, "2"), [None, 2.0], ["rating_off_scale"]),
    "negative": (section(1, "-3") + section(2, "2"), [None, 2.0], ["rating_off_scale"]),
    "in words": (section(1, "good") + section(2, "2"), [None, 2.0], ["rating_unreadable"]),
    "a range": (section(1, "3-4") + section(2, "2"), [None, 2.0], ["rating_unreadable"]),
    "no rating": (
        "#### Output for Text 1\nRationale: Fine.\n" + section(2, "2"),
        [None, 2.0],
        ["rating_missing"],
    ),
    "a third one": (GOOD_SECTIONS + section(3, "5"), [4.0, 2.0], []),
    "said twice": (GOOD_SECTIONS + section(1, "1"), [4.0, 2.0], []),
    "swapped": (
        "#### Output for Text 1\nRationale: Fine.\nRating: 4\n" + section(2, "2"),
        [4.0, 2.0],
        [],
    ),
    "after thinking": (f"<think>{section(1, '1')}</think>" + GOOD_SECTIONS, [4.0, 2.0], []),
    "with windows' line ends": (GOOD_SECTIONS.replace("\n", "\r\n"), [4.0, 2.0], []),
    "with a surrogate": (section(1, "4", "F\ud800ine.") + section(2, "2"), [4.0, 2.0], []),
    "with a nul": (section(1, "4", "F\0ine.") + section(2, "2"), [4.0, 2.0], []),
}


@pytest.mark.parametrize("name", JUDGES)
def test_an_odd_judgement_keeps_what_can_be_read(serve, judge, name) -> None:
    """What is missing is None for its text only, with a cause; one call is made, and no more."""
    text, ratings, causes = JUDGES[name]
    endpoint = serve(reply=lambda _: text)
    if "\ud800" in text:
        body = json.dumps(completion(text)).encode()
        endpoint = serve(script=lambda _: ok(body))
    rows = [{"input": "a", "generations": ["one", "two"]}]
    pipe = Pipeline(labeller=judge(endpoint))
    with pipe.iterate(rows, shuffle_before_labelling=False) as stream:
        row = next(stream)
    assert row["rating"] == ratings
    assert len(row["rationale"]) == 2
    assert [error.cause for error in row.errors if error.cause.startswith(("rat", "sec"))] == causes
    assert {error.stage for error in row.errors} <= {"labeller"}
    assert {error.generation for error in row.errors} <= {0}
    assert endpoint.ledger.requests == 1


def test_a_rationale_may_be_long_and_hold_anything(serve, judge) -> None:
    """Colons, blank lines and several lines stay part of the rationale."""
    rationale = "First: a point.\n\nSecond: Rating is high, because:\n- yes\n- no"
    endpoint = serve(reply=lambda _: section(1, "4", rationale))
    result = Pipeline(labeller=judge(endpoint)).generate([{"input": "a", "generations": ["t"]}])
    assert result["rationale"][:] == [[rationale]]


def test_a_judgement_without_any_of_what_was_asked_for_is_bounded(serve, judge) -> None:
    """A judge that never keeps to the form costs three calls, and leaves its text and a cause."""
    endpoint = serve(reply=lambda _: "I would rather not say.")
    rows = [{"input": "a", "generations": ["one", "two"]}]
    with Pipeline(labeller=judge(endpoint)).iterate(rows) as stream:
        row = next(stream)
    assert row["rating"] == row["rationale"] == [None, None]
    assert row["raw_labelling_response"] == "I would rather not say."
    assert [(e.cause, e.attempts) for e in row.errors] == [("section_missing", 3)]
    assert endpoint.ledger.requests == 3
