"""What a reply that is not a 200 means. Pure: a status, headers and a body in, one `CallError` out.

==========================================================  ===============
429, 529                                                    throttled
429 with code insufficient_quota (no waiting mends that)    run-fatal
503 that names estimated_time or says "loading"; paused     warming
408, 409, 424 (TGI: a fault while generating), other 5xx    transient
400 with a context-length or content-filter code; 413, 422  row-fatal
401, 402, 403, 404, 405, 410, any 3xx                       run-fatal
any other 4xx                                               row-fatal
==========================================================  ===============

Servers describe errors as `{"error": {"message", "code", "type", "param"}}` (OpenAI), as
`{"error": "text", "error_type": ...}` (TGI) or as `{"message": ...}` (vLLM of old); all are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from distilabel.errors import (
    CallError,
    RowFatalError,
    RunFatalError,
    ThrottledError,
    TransientError,
    WarmingError,
)
from distilabel.limits import parse_retry_after
from distilabel.untrusted import one_line

if TYPE_CHECKING:
    from distilabel.transport import HttpReply

__all__ = ["Details", "failure_of", "read_details"]

_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "quota_exceeded"})
_CONTEXT_CODES = frozenset({"context_length_exceeded", "string_above_max_length"})
_FILTER_CODES = frozenset({"content_filter", "content_policy_violation"})
_CONTEXT_PHRASES = ("context length", "maximum context", "must be <=", "too many tokens")
_WARMING_PHRASES = ("loading", "initializing")
_ASLEEP_PHRASES = ("scaled to zero", "is paused")

_RUN_FATAL = {
    401: (
        "authentication",
        "the key was not accepted. Check the key, and that it is for this server",
    ),
    402: ("payment_required", "the account cannot pay. Add credit"),
    403: ("permission", "the key may not do this. Check its rights, or ask the owner"),
    404: ("not_found", "there is no such model or route. Check the model's name and the URL"),
    405: ("wrong_url", "the server does not take this request. Check the URL"),
    410: ("gone", "the model or route is gone. Choose another"),
}


@dataclass(frozen=True, slots=True)
class Details:
    """What the body of an error says."""

    message: str = ""
    code: str = ""
    kind: str = ""
    estimated_s: float | None = None


def read_details(body: bytes) -> Details:
    """What the body of an error says, as far as it can be read.

    >>> read_details(b'{"error": {"message": "No credit.", "code": "insufficient_quota"}}').code
    'insufficient_quota'
    >>> read_details(b"<html>Bad Gateway</html>").message
    '<html>Bad Gateway</html>'
    """
    data = _json(body)
    if not isinstance(data, Mapping):
        return Details(message=one_line(body[:2000].decode("utf-8", "replace")))
    error: Any = data.get("error", data)
    inner: Mapping[str, Any] = error if isinstance(error, Mapping) else data
    message = (
        inner.get("message") or (error if isinstance(error, str) else "") or data.get("detail")
    )
    estimated = data.get("estimated_time")
    return Details(
        message=one_line(str(message or "")),
        code=str(inner.get("code") or ""),
        kind=str(inner.get("type") or data.get("error_type") or ""),
        estimated_s=float(estimated) if isinstance(estimated, int | float) else None,
    )


def failure_of(reply: HttpReply, *, who: str) -> CallError:
    """The error for a reply whose status is not 2xx.

    Args:
        reply: the whole reply.
        who: the model and server, for the message.
    """
    details = read_details(reply.body)
    kind, cause, advice = _classify(reply.status, details)
    said = f': "{details.message}"' if details.message else ""
    retry_after_s = parse_retry_after(reply.headers, is_throttled=reply.status == 429)
    if retry_after_s is None and kind is WarmingError:
        retry_after_s = details.estimated_s
    return kind(
        f"{who} answered {reply.status}{said} - {advice}.",
        cause=cause,
        status=reply.status,
        retry_after_s=retry_after_s,
        request_id=reply.headers.get("x-request-id"),
    )


def _classify(status: int, details: Details) -> tuple[type[CallError], str, str]:
    if status in {429, 529}:
        return _classify_throttle(status, details)
    if cause := _warming_cause(status, details):
        return WarmingError, cause, "the server is not up yet; it is waited for"
    if status in {408, 409, 424, 425} or status >= 500:
        return TransientError, f"http_{status}", "the server's own trouble; it is tried again"
    if status in _RUN_FATAL:
        cause, advice = _RUN_FATAL[status]
        return RunFatalError, cause, advice
    if status < 400:
        return RunFatalError, "redirect", "it wants another URL. Give that as base_url"
    return _classify_request(status, details)


def _classify_throttle(status: int, details: Details) -> tuple[type[CallError], str, str]:
    if _QUOTA_CODES & {details.code, details.kind}:
        return RunFatalError, "insufficient_quota", "the account's quota is spent. Raise it"
    cause = "overloaded" if status == 529 else "rate_limited"
    return ThrottledError, cause, "too many requests at once; they are slowed down"


def _classify_request(status: int, details: Details) -> tuple[type[CallError], str, str]:
    message = details.message.lower()
    codes = {details.code, details.kind}
    if _FILTER_CODES & codes:
        return RowFatalError, "content_filter", "the provider's filter refused this row"
    if status == 413 or _CONTEXT_CODES & codes or any(p in message for p in _CONTEXT_PHRASES):
        return RowFatalError, "context_length", "the row is too long for this model. Shorten it"
    return RowFatalError, f"http_{status}", "the server does not accept this row's request"


def _warming_cause(status: int, details: Details) -> str:
    """Why the server is not up; "" if that is not what it says."""
    if status in {400, 502, 503} and _says(details, _ASLEEP_PHRASES):
        return "asleep"
    if status == 503 and (details.estimated_s is not None or _says(details, _WARMING_PHRASES)):
        return "warming"
    return ""


def _says(details: Details, phrases: tuple[str, ...]) -> bool:
    message = details.message.lower()
    return any(phrase in message for phrase in phrases)


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
