"""Text generation as Hugging Face's Text Generation Inference (TGI) serves it, as bytes.

``POST /generate`` answers with an object; ``POST /`` with a list of one such object, as the hosted
inference API does. The shapes are those of https://huggingface.github.io/text-generation-inference.
This module is pure.
"""

from collections.abc import Mapping, Sequence

import msgspec

from distilabel.testing.openai_api import Asked, InvalidBodyError
from distilabel.testing.request import Completion, SimRequest, estimate_tokens

__all__ = ["error_body", "generation_body", "generation_headers", "read_generation"]

_encode = msgspec.json.Encoder().encode
_CHARS_PER_TOKEN = 4
_REASONS = {"stop": "eos_token", "length": "length"}
_ERROR_TYPES = {
    422: "validation",
    424: "generation",
    429: "overloaded",
    500: "incomplete_generation",
}


def _parameters(body: Mapping[str, object]) -> Mapping[str, object]:
    parameters = body.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InvalidBodyError("Input validation error: `parameters` must be a map", status=422)
    return parameters


def read_generation(body: Mapping[str, object]) -> Asked:
    """What a text generation asks for.

    Raises:
        InvalidBodyError: as TGI refuses it, with a 422.
    """
    inputs = body.get("inputs")
    if not isinstance(inputs, str) or not inputs:
        raise InvalidBodyError("Input validation error: `inputs` cannot be empty", status=422)
    if body.get("stream"):
        raise InvalidBodyError("The simulated endpoint does not stream.", status=422)
    parameters = _parameters(body)
    limit = parameters.get("max_new_tokens")
    if limit is not None and (type(limit) is not int or limit < 1):
        message = "Input validation error: `max_new_tokens` must be strictly positive"
        raise InvalidBodyError(message, status=422)
    best_of = parameters.get("best_of")
    n = best_of if type(best_of) is int and best_of > 0 else 1
    return Asked(model="", prompt=inputs, n=n, max_tokens=limit)


def _tokens(text: str) -> list[dict[str, object]]:
    """Pieces that give the text when put together, with numbers as a tokenizer would give them."""
    pieces = [text[at : at + _CHARS_PER_TOKEN] for at in range(0, len(text), _CHARS_PER_TOKEN)]
    return [
        {"id": 1000 + sum(piece.encode()), "text": piece, "logprob": -0.25, "special": False}
        for piece in pieces
    ]


def _details(completion: Completion, seed: object) -> dict[str, object]:
    tokens = _tokens(completion.text or "")
    return {
        "finish_reason": _REASONS.get(completion.finish_reason, completion.finish_reason),
        "generated_tokens": len(tokens),
        "seed": seed,
        "prefill": [],
        "tokens": tokens,
    }


def generation_body(
    request: SimRequest, completions: Sequence[Completion], *, is_list: bool
) -> bytes:
    """A generation: the first completion; with ``best_of``, the others among the details."""
    parameters = _parameters(request.body)
    first = completions[0]
    start = request.prompt if parameters.get("return_full_text") else ""
    generation: dict[str, object] = {"generated_text": start + (first.text or "")}
    if parameters.get("details"):
        seed = parameters.get("seed")
        details = _details(first, seed)
        if len(completions) > 1:
            details["best_of_sequences"] = [
                {"generated_text": start + (other.text or ""), **_details(other, seed)}
                for other in completions[1:]
            ]
        generation["details"] = details
    return _encode([generation] if is_list else generation)


def generation_headers(
    request: SimRequest, completions: Sequence[Completion]
) -> tuple[tuple[str, str], ...]:
    """The counts that TGI sends beside a generation: there is no usage in its body."""
    written = sum(estimate_tokens(completion.text or "") for completion in completions)
    return (
        ("x-compute-type", "simulated"),
        ("x-compute-characters", str(len(request.prompt))),
        ("x-prompt-tokens", str(estimate_tokens(request.prompt))),
        ("x-generated-tokens", str(written)),
    )


def error_body(status: int, message: str) -> bytes:
    """An error, in the shape in which TGI's clients look for it."""
    error: dict[str, str] = {"error": message}
    if status in _ERROR_TYPES:
        error["error_type"] = _ERROR_TYPES[status]
    return _encode(error)
