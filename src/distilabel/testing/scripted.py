"""An `LLM` that answers from a script: no server, no network, any failure at any call.

It stands at the library's own seam, so permits, pauses, retries and top-ups around it are the real
ones. Under a `VirtualClock` its latency costs no time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

from distilabel.errors import RowFatalError
from distilabel.llm.base import LLM
from distilabel.types import Reply

if TYPE_CHECKING:
    from distilabel.tasks.base import Task
    from distilabel.types import Call

__all__ = ["Line", "ScriptedLLM"]

Line: TypeAlias = str | Sequence[str] | Reply | Exception
"""What one call brings: a text (for each generation asked for), texts, a reply, or a failure."""


class ScriptedLLM(LLM):
    """Answers each call with the next line of a script, or with what a function says.

    Args:
        task: as for any `LLM`.
        script: lines in the order of calls, or a function of the call. A line that is a `str` is
            every generation that was asked for; an exception is raised.
        model_name: the model it says it is.
        latency_s: seconds that each call takes.
        is_deterministic: whether it says that equal calls bring equal replies.
        **limits: `num_threads` and the other arguments of `LLM`.

    >>> from distilabel.errors import TransientError
    >>> from distilabel.tasks import TextGenerationTask
    >>> llm = ScriptedLLM(TextGenerationTask(), ["Hello!", "Good day!"])
    >>> [output["raw_output"] for output in llm.generate([{"input": "Hi"}])[0]]
    ['Hello!']
    >>> len(llm.calls)
    1
    """

    def __init__(
        self,
        task: Task,
        script: Iterable[Line] | Callable[[Call], Line],
        *,
        model_name: str = "scripted",
        latency_s: float = 0.0,
        is_deterministic: bool = False,
        **limits: Any,
    ) -> None:
        super().__init__(task, **limits)
        self._is_deterministic = is_deterministic
        self.model_name = model_name
        self.latency_s = latency_s
        self.calls: list[Call] = []
        """What was asked for, in the order of asking."""
        self._next_line = script if callable(script) else _in_order(iter(script))

    def settings(self) -> Mapping[str, Any]:
        """The model; how long it takes decides nothing."""
        return {"model": self.model_name}

    @property
    def is_deterministic(self) -> bool:
        """What it was told."""
        return self._is_deterministic

    async def complete(self, call: Call) -> Reply | Sequence[str]:
        """The script's line for this call."""
        self.calls.append(call)
        line = self._next_line(call)
        if self.latency_s:
            await anyio.sleep(self.latency_s)
        if isinstance(line, Exception):
            raise line
        return [line] * call.num_generations if isinstance(line, str) else line


def _in_order(lines: Iterator[Line]) -> Callable[[Call], Line]:
    def next_line(call: Call) -> Line:
        line = next(lines, None)
        if line is None:
            return RowFatalError(f"the script has no line left for {call}", cause="script_ended")
        return line

    return next_line
