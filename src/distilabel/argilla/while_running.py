"""Rows to Argilla while a run goes on: one function, for code that is async and code that is not.

Rules:

- What pushes is the same for both (`streaming`), and so are its promises.
- For code that is not async it lives in a thread of its own. A row is taken in the caller's thread,
  and is handed on once it has a place in the buffer: a slow server slows the run all the same.
- An interrupt (Ctrl-C) is to the one what being cancelled is to the other: it waits for no server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from distilabel import portal
from distilabel.argilla.server import hidden, log_in
from distilabel.argilla.streaming import ArgillaLog, RowPusher, pushing_to
from distilabel.errors import StreamClosedError
from distilabel.types import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from pydantic import SecretStr

    from distilabel.argilla.streaming import LogStatistics
    from distilabel.portal import Caller
    from distilabel.tasks import Task

__all__ = ["IteratedLog", "log_to_argilla"]


class IteratedLog(Iterator[Row]):
    """`ArgillaLog`, for code that is not async. Made by `log_to_argilla`.

    Args:
        rows: the rows of the run.
        pusher: what pushes them, in another thread.
        caller: calls into that thread.
    """

    def __init__(self, rows: Iterable[Row], pusher: RowPusher, caller: Caller) -> None:
        self._rows = iter(rows)
        self._pusher = pusher
        self._caller = caller
        self._is_open = True

    def statistics(self) -> LogStatistics:
        """How far the pushing is, at this moment."""
        return self._pusher.statistics()

    def close(self) -> None:
        """No row is taken any more."""
        self._is_open = False

    def __next__(self) -> Row:
        if not self._is_open:
            raise StreamClosedError("the log was left; read it inside its `with` block")
        row = next(self._rows)
        self._caller.call(self._pusher.put, row)
        return row


@overload
def log_to_argilla(
    rows: AsyncIterator[Row],
    name: str,
    workspace: str,
    *,
    task: Task | None = None,
    num_generations: int | None = None,
    api_url: str | None = None,
    api_key: str | SecretStr | None = None,
    client: Any = None,
) -> AbstractAsyncContextManager[ArgillaLog]: ...


@overload
def log_to_argilla(
    rows: Iterable[Row],
    name: str,
    workspace: str,
    *,
    task: Task | None = None,
    num_generations: int | None = None,
    api_url: str | None = None,
    api_key: str | SecretStr | None = None,
    client: Any = None,
) -> AbstractContextManager[IteratedLog]: ...


def log_to_argilla(
    rows: AsyncIterator[Row] | Iterable[Row],
    name: str,
    workspace: str,
    *,
    task: Task | None = None,
    num_generations: int | None = None,
    api_url: str | None = None,
    api_key: str | SecretStr | None = None,
    client: Any = None,
) -> AbstractAsyncContextManager[ArgillaLog] | AbstractContextManager[IteratedLog]:
    """Push the rows of a run to Argilla while it goes on.

    ::

        with (
            pipe.iterate(prompts) as rows,
            log_to_argilla(rows, "preference-dataset", "admin") as logged,
        ):
            for row in logged:
                print(row["rating"])

    In async code, the same with `pipe.stream`, `async with` and `async for`.

    Args:
        rows: what `Pipeline.iterate` or `Pipeline.stream` hands out.
        name: the data set's name in Argilla; it is made if it is not there.
        workspace: the name of a workspace that is there.
        task: the labeller's task, or the generator's; by default the run's.
        num_generations: the most texts that a row will have, if the first rows may have fewer.
        api_url: the server's address.
        api_key: your key there.
        client: an `argilla.Argilla`, in place of both.

    Raises:
        MissingDependencyError: the package `argilla` is not installed.
        MissingKeyError: there is no key.
        ArgillaError: the server does not take the key, or has no such workspace. One that does
            not answer is warned of, and does not stop the run.
    """
    api_key = hidden(api_key)
    if task is None:
        task = getattr(getattr(rows, "plan", None), "task", None)
    opening = partial(log_in, api_url=api_url, api_key=api_key, client=client)
    open_pusher = partial(pushing_to, name, workspace, opening)
    if isinstance(rows, AsyncIterator):
        return open_pusher(partial(ArgillaLog, rows, task=task, num_generations=num_generations))
    made = partial(RowPusher, task=task, num_generations=num_generations)
    return _iterated(rows, lambda: open_pusher(made))


@contextmanager
def _iterated(
    rows: Iterable[Row], open_pusher: Callable[[], AbstractAsyncContextManager[RowPusher]]
) -> Generator[IteratedLog]:
    with portal.entered(open_pusher) as (caller, pusher):
        log = IteratedLog(rows, pusher, caller)
        try:
            yield log
        except Exception:
            raise
        except BaseException:
            caller.call(pusher.drop)
            raise
        finally:
            log.close()
