"""What `complete` of a backend of one's own has returned or raised, in our types. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from distilabel.errors import ConfigurationError, InvalidReplyError, RowFatalError
from distilabel.types import Reply

if TYPE_CHECKING:
    from distilabel.types import Call, PromptText

__all__ = ["as_failure", "as_reply", "check_model_name"]


def check_model_name(llm: object) -> None:
    """See that a backend says which model it is, as it stands in the result.

    Raises:
        ConfigurationError: it has no `model_name`.
    """
    if not hasattr(llm, "model_name"):
        kind = type(llm).__name__
        raise ConfigurationError(
            f"the backend {kind} has no model_name. Give the class one, model_name = '...', or set "
            f"self.model_name in its __init__."
        )


def as_reply(result: object, *, backend: str) -> Reply:
    """The reply that `complete` has returned, or that its texts make.

    Args:
        result: anything; a `str` is one text.
        backend: the name of its class.

    Raises:
        InvalidReplyError: it is neither a `Reply` nor a sequence of `str`. The message names types
            and no values, which may be long or private.

    >>> as_reply(["Hi"], backend="EchoLLM").texts
    ('Hi',)
    """
    if isinstance(result, Reply):
        return result
    given: object = (result,) if isinstance(result, str) else result
    returned = type(result).__name__
    if isinstance(given, Sequence):
        texts = tuple(cast("Sequence[object]", given))
        if all(isinstance(text, str) for text in texts):
            return Reply(texts=cast("tuple[str, ...]", texts))
        kinds = sorted({type(text).__name__ for text in texts})
        returned = f"{returned} of {', '.join(kinds)}"
    raise InvalidReplyError(
        f"complete() of the backend {backend} returned a value of type {returned}; it has to "
        f"return a list of str, or a Reply",
        cause="backend_reply",
    )


def as_failure(error: BaseException, call: Call, *, backend: str) -> RowFatalError:
    """The row's failure for what is no `CallError`, and so says nothing of what it means.

    A prompt that no request can carry is the row's own text, and no fault of the backend's.
    """
    if isinstance(error, UnicodeEncodeError) and _holds_surrogate(call.prompt):
        return RowFatalError(
            "the row's text, or what the task adds to it, holds a lone surrogate (half of a "
            "character, as in '\\ud83d'), which UTF-8 and so no request can hold. Nothing was "
            "sent. Replace it: text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')",
            cause="lone_surrogate",
        )
    return RowFatalError(
        f"the backend {backend} failed with {error!r}; "
        f"its complete() should raise one of distilabel.errors' CallErrors",
        cause="backend_error",
    )


def _holds_surrogate(prompt: PromptText) -> bool:
    texts = [prompt] if isinstance(prompt, str) else [each["content"] for each in prompt]
    return any("\ud800" <= letter <= "\udfff" for text in texts for letter in str(text))
