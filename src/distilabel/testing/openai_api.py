"""OpenAI's chat completions and models, as bytes: reading a request's body, writing a reply's.

The shapes are those of https://platform.openai.com/docs/api-reference (chat, models, errors).
This module is pure.
"""

from collections.abc import Mapping, Sequence

import msgspec

from distilabel.testing.request import Completion, SimRequest, estimate_tokens

__all__ = [
    "Asked",
    "InvalidBodyError",
    "chat_body",
    "error_body",
    "model_body",
    "models_body",
    "read_chat",
]

_encode = msgspec.json.Encoder().encode

_CHAT = (
    b'{"id":"chatcmpl-sim%08x","object":"chat.completion","created":%d,"model":%b,"choices":[%b],'
    b'"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d%b},'
    b'"service_tier":"default","system_fingerprint":"fp_simulated"}'
)
_CACHED = b',"prompt_tokens_details":{"cached_tokens":%d}'
_CHOICE = (
    b'{"index":%d,"message":{"role":"assistant","content":%b,"refusal":null},'
    b'"logprobs":null,"finish_reason":%b}'
)
_KINDS = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", None),
    429: ("requests", "rate_limit_exceeded"),
}


class InvalidBodyError(Exception):
    """The body of a request cannot be served; the attributes are OpenAI's own."""

    def __init__(
        self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.param = param
        self.code = code


class Asked(msgspec.Struct, frozen=True):
    """What a body asks for, whichever API it came by.

    Attributes:
        model: the model, or an empty string.
        prompt: the text of all messages, or the inputs.
        n: how many choices.
        max_tokens: the most tokens in a choice, or None.
    """

    model: str
    prompt: str
    n: int = 1
    max_tokens: int | None = None


def _text(message: object) -> str:
    """The text of a message, be its content a string or a list of parts."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(
        part["text"]
        for part in parts
        if isinstance(part, dict) and isinstance(part.get("text"), str)
    )


def _positive(body: Mapping[str, object], name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if type(value) is not int or value < 1:
        message = f"Invalid value for '{name}': expected an integer of 1 or more."
        raise InvalidBodyError(message, param=name, code="invalid_value")
    return value


def read_chat(body: Mapping[str, object]) -> Asked:
    """What a chat completion asks for.

    Raises:
        InvalidBodyError: as OpenAI refuses it, with a 400.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidBodyError("Missing required parameter: 'messages'.", param="messages")
    if body.get("stream"):
        raise InvalidBodyError("The simulated endpoint does not stream.", param="stream")
    model = body.get("model")
    return Asked(
        model=model if isinstance(model, str) else "",
        prompt=_text(messages[0]) if len(messages) == 1 else "\n".join(map(_text, messages)),
        n=_positive(body, "n") or 1,
        max_tokens=_positive(body, "max_completion_tokens") or _positive(body, "max_tokens"),
    )


def chat_body(
    request: SimRequest,
    completions: Sequence[Completion],
    created_s: int,
    cached_tokens: int | None = None,
) -> bytes:
    """A chat completion with these choices, and its usage."""
    choices = [
        _CHOICE % (index, _encode(completion.text), _encode(completion.finish_reason))
        for index, completion in enumerate(completions)
    ]
    asked = estimate_tokens(request.prompt)
    written = sum(estimate_tokens(completion.text or "") for completion in completions)
    return _CHAT % (
        request.index,
        created_s,
        _encode(request.model),
        b",".join(choices),
        asked,
        written,
        asked + written,
        b"" if cached_tokens is None else _CACHED % cached_tokens,
    )


def error_body(
    status: int, message: str, *, param: str | None = None, code: str | None = None
) -> bytes:
    """An error, in the shape in which OpenAI's clients look for it."""
    fallback = ("server_error" if status >= 500 else "invalid_request_error", None)
    kind, usual_code = _KINDS.get(status, fallback)
    error = {"message": message, "type": kind, "param": param, "code": code or usual_code}
    return _encode({"error": error})


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "simulated"}


def model_body(name: str) -> bytes:
    """One model."""
    return _encode(_model(name))


def models_body(names: Sequence[str]) -> bytes:
    """The list of models."""
    return _encode({"object": "list", "data": [_model(name) for name in names]})
