"""`LLM`: a model behind a limit. A backend is a subclass with one async method.

::

    class EchoLLM(LLM):
        model_name = "echo"

        async def complete(self, call: Call) -> list[str]:
            return [str(call.prompt)] * call.num_generations

Everything else is here: the prompt's format, the permits, the pauses, the retries, and asking for
the rest where fewer texts come back than were asked for.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import random
import re
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import anyio

from distilabel import portal
from distilabel.errors import (
    CallError,
    ColumnError,
    ConfigurationError,
    DispatchStoppedError,
    TransientError,
)
from distilabel.limits import PermitPool, RetryPolicy
from distilabel.limits.prices import as_price
from distilabel.limits.spending import prompt_tokens_max
from distilabel.llm.asking import CallContext
from distilabel.llm.flight import Flight
from distilabel.llm.gate import Gate
from distilabel.llm.returned import as_failure, as_reply, check_model_name
from distilabel.llm.texts import generate_texts
from distilabel.tasks.base import Task
from distilabel.tasks.prompt import PROMPT_FORMATS, Prompt
from distilabel.types import Call, LLMOutput, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from distilabel.tasks.prompt import PromptFormat
    from distilabel.types import InputRow, Price, PromptText, Reply

__all__ = ["DEFAULT_MAX_CONCURRENCY", "LLM", "Call"]

DEFAULT_MAX_CONCURRENCY = 64
"""Attempts under way at once, if the user names no number and wants no adaptive one."""

_log = logging.getLogger("distilabel")


class LLM(ABC):
    """A model that a pipeline can ask.

    Args:
        task: how a row becomes a prompt and a reply becomes columns.
        num_threads: the most attempts that may be under way at once. None: as many as the backend
            turns out to take, and as there are file descriptors for.
        max_concurrency: the same, by its plain name.
        prompt_format: one of `distilabel.tasks.prompt.PROMPT_FORMATS`; how a task's `Prompt` is
            written out. None: the backend's own default. A `str` or a message list that a task
            returns is sent as it is.
        prompt_formatting_fn: writes a `Prompt` out; goes before `prompt_format`.
        price: what its tokens cost: a `Price`, or a pair (input, output), in US dollars per million
            tokens. None: as the list has it for OpenAI's own models, else not known.
        ask_once: in a run, equal calls are made once and share the reply. None: if
            `is_deterministic`.
        adaptive: find out how many the backend takes. False: always `num_threads` (None: 64).
        requests_per_minute: the most that may be sent, evenly. None: as replies' headers tell.
        tokens_per_minute: the same for tokens, read and written.

    Raises:
        ConfigurationError: an argument cannot work.
    """

    default_prompt_format: ClassVar[PromptFormat] = "default"
    """How this backend likes its prompts."""
    generations_per_call: ClassVar[int | None] = None
    """The most texts that one call can bring; None: as many as are asked for."""
    max_new_tokens: int | None = None
    """The most tokens in one generation; None: not known."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Note what the constructor is given; see `settings`."""
        llm = super().__new__(cls)
        llm._given = _plain_arguments(cls.__init__, args, kwargs)
        return llm

    def __init__(
        self,
        task: Task,
        *,
        num_threads: int | None = None,
        max_concurrency: int | None = None,
        prompt_format: PromptFormat | None = None,
        prompt_formatting_fn: Callable[[Prompt], PromptText] | None = None,
        price: Price | tuple[float, float] | None = None,
        ask_once: bool | None = None,
        adaptive: bool = True,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
    ) -> None:
        self.task = _known_task(task)
        self.price = as_price(price)
        self._ask_once = ask_once
        self.prompt_format: PromptFormat | None = _known_format(prompt_format)
        self.prompt_formatting_fn = prompt_formatting_fn
        self.retry_policy = RetryPolicy()
        self.num_threads = ceiling = _concurrency(num_threads, max_concurrency)
        self.permits = PermitPool(ceiling or DEFAULT_MAX_CONCURRENCY)
        rates = (
            _rate("requests_per_minute", requests_per_minute),
            _rate("tokens_per_minute", tokens_per_minute),
        )
        self.gate = Gate(self.permits, is_adaptive=adaptive, ceiling=ceiling, rates=rates)
        self.chance = random.Random()  # noqa: S311 - spreads retries, hides nothing

    _given: Mapping[str, Any]
    num_threads: int | None
    """What was given as `num_threads` or as `max_concurrency`; None: neither was."""
    model_name: str
    """The model, as it stands in the result's columns. A subclass sets it."""

    @property
    def max_concurrency(self) -> int:
        """The most attempts that may ever be under way at once; `permits.limit` is for now."""
        return self.gate.permits_max

    @property
    def is_deterministic(self) -> bool:
        """Whether equal calls bring equal replies, as far as the server is as good as its word.

        A backend that samples says no, as this one does.
        """
        return False

    @property
    def asks_once(self) -> bool:
        """Whether equal calls of a run are made once; see `distilabel.pipeline.sharing`."""
        return self.is_deterministic if self._ask_once is None else self._ask_once

    @abstractmethod
    async def complete(self, call: Call) -> Reply | Sequence[str]:
        """One attempt: send `call.prompt` once, and return what came back.

        Fewer texts than asked for are fine; the rest is asked for. Called from several tasks at
        once, and from several event loops.

        Raises:
            CallError: one of its subclasses says what the failure means. `TimeoutError` and
                `OSError` count as `TransientError`; anything else as this row's own failure.
        """

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[None]:
        """Hold what calls need (connections, say) open. Calls are made inside; may be nested."""
        yield

    def render(self, inputs: InputRow) -> PromptText:
        """The prompt for a row's inputs, as it is sent."""
        prompt = self.task.generate_prompt(**inputs)
        if not isinstance(prompt, Prompt):
            return prompt
        if self.prompt_formatting_fn is not None:
            return self.prompt_formatting_fn(prompt)
        return prompt.format_as(self.prompt_format or self.default_prompt_format)

    def tokens_max(self, call: Call) -> Usage | None:
        """The most tokens that one attempt of this call can take; None: not known.

        What `max_cost` reserves. The prompt is bounded by its bytes; `limits.spending` says why.
        """
        read = prompt_tokens_max(call.prompt)
        if read is None or self.max_new_tokens is None:
            return None
        return Usage(read, call.num_generations * self.max_new_tokens)

    async def attempt(self, call: Call) -> Reply:
        """`complete`, with every failure typed and every answer a `Reply`."""
        try:
            return as_reply(await self.complete(call), backend=type(self).__name__)
        except CallError:
            raise
        except OSError as error:  # TimeoutError and ConnectionError are OSErrors
            raise TransientError(f"{self.model_name}: {error!r}", cause="connection") from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # It was a task of the backend's own that was cancelled, and not the run.
            raise as_failure(error, call, backend=type(self).__name__) from error
        except Exception as error:
            raise as_failure(error, call, backend=type(self).__name__) from error

    async def agenerate(
        self, inputs: Sequence[InputRow], num_generations: int = 1
    ) -> list[list[LLMOutput]]:
        """Ask for `num_generations` texts for each of `inputs`, all at once.

        Args:
            inputs: rows with the task's `input_columns`.
            num_generations: texts for each row, at least 1.

        Returns:
            One list for each input, in order, of exactly `num_generations` outputs. An output whose
            call failed has None as `raw_output` and `parsed_output`; the log says why.

        Raises:
            ConfigurationError: an input lacks a column, or gives no prompt, or the backend has no
                `model_name`. No call was made.
            RunFatalError: no call can succeed: a wrong key, an unknown model.
        """
        check_model_name(self)
        _at_least_one("num_generations", num_generations)
        asked = [self._rendered(index, row) for index, row in enumerate(inputs)]
        outputs: list[list[LLMOutput]] = [[] for _ in inputs]
        fatal: list[CallError] = []

        flight = Flight()

        async def one(index: int, row: InputRow, prompt: PromptText) -> None:
            try:
                context = CallContext(row_index=index, flight=flight)
                outputs[index] = await self._outputs(row, prompt, num_generations, context)
            except DispatchStoppedError:
                return
            except CallError as error:
                fatal.append(error)
                flight.stop()
                group.cancel_scope.cancel()

        async with self.session(), anyio.create_task_group() as group:
            for index, (row, prompt) in enumerate(asked):
                group.start_soon(one, index, row, prompt)
        if fatal:
            raise fatal[0]
        return outputs

    def generate(
        self, inputs: Sequence[InputRow], num_generations: int = 1
    ) -> list[list[LLMOutput]]:
        """`agenerate`, from code that is not async; works inside a running event loop too."""
        return portal.run(self.agenerate, inputs, num_generations)

    def _rendered(self, index: int, row: InputRow) -> tuple[InputRow, PromptText]:
        for name in self.task.input_columns:
            if name not in row:
                raise ColumnError(
                    f"input {index} has no {name!r}, which {type(self.task).__name__} reads. "
                    f"It has: {', '.join(map(repr, row)) or 'nothing'}.",
                    column=name,
                    available=tuple(row),
                )
        inputs = {name: row[name] for name in self.task.input_columns}
        return inputs, self.render(inputs)

    async def _outputs(
        self, inputs: InputRow, prompt: PromptText, num_generations: int, context: CallContext
    ) -> list[LLMOutput]:
        outcomes = await generate_texts(self, prompt, num_generations, inputs, context)
        for outcome in outcomes:
            if outcome.error is not None:
                _log.warning("input %d: %s", context.row_index, outcome.error)
        return [
            LLMOutput(
                model_name=self.model_name,
                prompt_used=prompt,
                raw_output=outcome.text,
                parsed_output=None if outcome.parsed is None else outcome.parsed.values,
            )
            for outcome in outcomes
        ]

    def settings(self) -> Mapping[str, Any]:
        """What decides this backend's replies: the model, the server, the parameters. Never a key.

        A reply is only reused for a backend with the same settings, and `repr` shows them. Without
        an override these are the model and the numbers and texts that the constructor was given,
        but for limits and for names that sound like a secret.
        """
        return {"model": self.model_name, **getattr(self, "_given", {})}

    def __getstate__(self) -> object:
        """Refuse to be pickled or copied: it holds keys, and connections of this process."""
        raise TypeError(
            f"{type(self).__name__} cannot be pickled or copied: it may hold a key, and its "
            f"connections and limits are this process's. Keep its arguments instead, and make it "
            f"where it is used."
        )

    def __repr__(self) -> str:
        try:
            settings = ", ".join(f"{name}={value!r}" for name, value in self.settings().items())
        except AttributeError:  # a traceback shows it while its constructor is at work
            return f"<{type(self).__name__}, unfinished>"
        return f"{type(self).__name__}({settings}, max_concurrency={self.max_concurrency})"


_DECIDES_NOTHING = frozenset(
    {"num_threads", "max_concurrency", "prompt_format", "timeout", "latency_s", "ask_once", "price"}
    | {"adaptive", "requests_per_minute", "tokens_per_minute"}
)
"""Arguments that no reply depends on, or, like the format, that show in the prompt."""
_SECRET = re.compile("key|token|secret|passw|auth|credential", re.IGNORECASE)


def _plain_arguments(
    constructor: Callable[..., None], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments, by name, that are numbers or texts and may be shown."""
    try:
        given = inspect.signature(constructor).bind_partial(None, *args, **kwargs).arguments
    except (TypeError, ValueError):  # the constructor itself will say what is wrong
        return {}
    named = {**given, **given.get("kwargs", {})}
    return {
        name: value
        for name, value in named.items()
        if name not in _DECIDES_NOTHING and not _SECRET.search(name) and _is_plain(value)
    }


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_plain(item) for item in cast("Sequence[object]", value))
    return isinstance(value, str | int | float | bool)


def _known_task(task: object) -> Task:
    if isinstance(task, Task):
        return task
    if isinstance(task, type) and issubclass(task, Task):
        raise ConfigurationError(
            f"task is the class {task.__name__} itself. Call it: {task.__name__}()"
        )
    raise ConfigurationError(
        f"task must be a Task, such as TextGenerationTask(), not of type {type(task).__name__}"
    )


def _known_format(prompt_format: PromptFormat | None) -> PromptFormat | None:
    if prompt_format is not None and prompt_format not in PROMPT_FORMATS:
        raise ConfigurationError(
            f"unknown prompt_format {prompt_format!r}; there are {', '.join(PROMPT_FORMATS)}"
        )
    return prompt_format


def _concurrency(num_threads: int | None, max_concurrency: int | None) -> int | None:
    if num_threads is not None and max_concurrency is not None and num_threads != max_concurrency:
        raise ConfigurationError(
            f"num_threads={num_threads}, max_concurrency={max_concurrency}: they mean the same"
        )
    for name, limit in (("num_threads", num_threads), ("max_concurrency", max_concurrency)):
        if limit is not None:
            return _at_least_one(name, limit)
    return None


def _rate(name: str, rate: float | None) -> float | None:
    if rate is not None and not 1 <= rate < math.inf:
        raise ConfigurationError(f"{name} must be a number of at least 1, not {rate!r}")
    return rate


def _at_least_one(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"{name} must be a whole number of at least 1, not {value!r}")
    return value
