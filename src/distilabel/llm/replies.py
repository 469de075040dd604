"""How replies of 200 are read. Pure: bytes in, a `Reply` or an `InvalidReplyError` out.

Two ways through: a typed decoder for what servers should send, and, only when that fails, a patient
reading of what they do send (a BOM, NaN, lone surrogates, a field of the wrong type). What neither
can read was paid for all the same, so it is an invalid reply.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from distilabel.errors import CallError, InvalidReplyError, RowFatalError
from distilabel.llm.failures import failure_of, read_details
from distilabel.transport import HttpReply
from distilabel.types import Reply, Usage
from distilabel.untrusted import one_line, storable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["read_chat_completion", "read_text_generation"]

_BOM = b"\xef\xbb\xbf"


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None
    index: int = 0


class _CachedTokens(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _CachedTokens | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None
    model: str | None = None


_decode_completion = msgspec.json.Decoder(_Completion).decode


def read_chat_completion(reply: HttpReply, *, who: str) -> Reply:
    """A reply of `POST …/chat/completions` (OpenAI's API reference, "The chat completion object").

    Raises:
        InvalidReplyError: it is not JSON, or holds no text.
        RowFatalError: the provider's filter took all texts away.
        CallError: it is an error in the clothes of a 200; some proxies send those.
    """
    try:
        completion = _decode_completion(reply.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        completion = _read_patiently(reply, who)
    choices = completion.choices
    if len(choices) > 1:
        choices = sorted(choices, key=lambda choice: choice.index)
    texts = [c for c in choices if c.message.content is not None and c.finish_reason != "error"]
    if not texts:
        raise _no_text(choices, _usage(completion.usage), who)
    return Reply(
        texts=tuple(storable(choice.message.content or "") for choice in texts),
        finish_reasons=tuple(choice.finish_reason for choice in texts),
        usage=_usage(completion.usage),
        model=completion.model,
        request_id=reply.headers.get("x-request-id"),
    )


def read_text_generation(reply: HttpReply, *, who: str) -> Reply:
    """A reply of TGI's text-generation route: an object or a list of one, with `generated_text`.

    Raises:
        InvalidReplyError: it is not JSON, or holds no text.
    """
    data = _json(reply.body, who)
    first: Any = data[0] if isinstance(data, list) and data else data
    if not isinstance(first, Mapping):
        raise InvalidReplyError(f"{who} sent JSON that is no object: {_excerpt(reply.body)}")
    _raise_disguised_error(first, reply, who)
    text = first.get("generated_text")
    if not isinstance(text, str):
        raise InvalidReplyError(f"{who} sent no generated_text", cause="content_none")
    details = first.get("details")
    details = details if isinstance(details, Mapping) else {}
    reason = details.get("finish_reason")
    return Reply(
        texts=(storable(text),),
        finish_reasons=(reason if isinstance(reason, str) else None,),
        usage=_text_generation_usage(details),
        request_id=reply.headers.get("x-request-id"),
    )


def _text_generation_usage(details: Mapping[str, Any]) -> Usage | None:
    written = details.get("generated_tokens")
    if not isinstance(written, int):
        return None
    prefill = details.get("prefill")
    return Usage(len(prefill) if isinstance(prefill, list) else 0, written)


def _usage(usage: _Usage | None) -> Usage | None:
    if usage is None:
        return None
    cached = usage.prompt_tokens_details
    return Usage(
        usage.prompt_tokens, usage.completion_tokens, (cached and cached.cached_tokens) or 0
    )


def _no_text(choices: Sequence[_Choice], usage: Usage | None, who: str) -> CallError:
    if not choices:
        said = f"{who} sent a completion without choices"
        return InvalidReplyError(said, cause="no_choices", usage=usage)
    if all(choice.finish_reason == "content_filter" for choice in choices):
        said = f"{who}: the provider's filter refused this row"
        return RowFatalError(said, cause="content_filter", usage=usage)
    said = f"{who} sent a completion without text (finish reason {choices[0].finish_reason!r})"
    return InvalidReplyError(said, cause="content_none", usage=usage)


def _read_patiently(reply: HttpReply, who: str) -> _Completion:
    data = _json(reply.body, who)
    if not isinstance(data, Mapping):
        raise InvalidReplyError(f"{who} sent JSON that is no object: {_excerpt(reply.body)}")
    _raise_disguised_error(data, reply, who)
    choices = data.get("choices")
    if not isinstance(choices, list):
        raise InvalidReplyError(f"{who} sent a completion without choices", cause="no_choices")
    model = data.get("model")
    return _Completion(
        choices=[_read_choice(choice) for choice in choices],
        usage=_read_usage(data.get("usage")),
        model=model if isinstance(model, str) else None,
    )


def _read_choice(choice: Any) -> _Choice:
    fields = choice if isinstance(choice, Mapping) else {}
    message = fields.get("message")
    content = message.get("content") if isinstance(message, Mapping) else None
    reason, index = fields.get("finish_reason"), fields.get("index")
    return _Choice(
        message=_Message(content=_content_text(content)),
        finish_reason=reason if isinstance(reason, str) else None,
        index=index if isinstance(index, int) else 0,
    )


def _content_text(content: Any) -> str | None:
    if not isinstance(content, list):
        return content if isinstance(content, str) else None
    parts = [
        p["text"] for p in content if isinstance(p, Mapping) and isinstance(p.get("text"), str)
    ]
    return "".join(parts) if parts else None


def _read_usage(usage: Any) -> _Usage | None:
    try:
        return msgspec.convert(usage, _Usage, strict=False)
    except (msgspec.ValidationError, ValueError, OverflowError):
        return None  # tokens that cannot be read are not counted; the texts are what was paid for


def _json(body: bytes, who: str) -> Any:
    text = body.removeprefix(_BOM)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidReplyError(
            f"{who} answered 200 with what is not JSON: {_excerpt(body)} - "
            f"is the URL that of an API, and not of a web page?",
            cause="not_json",
        ) from None


def _raise_disguised_error(data: Mapping[str, Any], reply: HttpReply, who: str) -> None:
    if not data.get("error"):
        return
    code = read_details(reply.body).code
    status = int(code) if code.isascii() and code.isdigit() and len(code) == 3 else 0
    if status >= 400:
        raise failure_of(HttpReply(status, reply.headers, reply.body), who=who)
    raise InvalidReplyError(f"{who} answered 200 with an error: {_excerpt(reply.body)}")


def _excerpt(body: bytes) -> str:
    return repr(one_line(body[:400].decode("utf-8", "replace"), characters_max=120))
