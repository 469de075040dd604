"""What `complete` of a backend of one's own has returned or raised, in our types. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from distilabel.errors import InvalidReplyError, RowFatalError
from distilabel.types import Reply

__all__ = ["as_failure", "as_reply"]


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


def as_failure(error: BaseException, *, backend: str) -> RowFatalError:
    """The row's failure for what is no `CallError`, and so says nothing of what it means."""
    return RowFatalError(
        f"the backend {backend} failed with {error!r}; "
        f"its complete() should raise one of distilabel.errors' CallErrors",
        cause="backend_error",
    )
