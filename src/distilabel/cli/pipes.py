"""Standard input and output in an event loop, without threads that nobody can end.

Rules:

- A pipe, socket or terminal is waited for in the loop, so that Ctrl-C and the end of a run reach
  who waits. What cannot be waited for (a file) never makes one wait, and is read and written as is.
- A pipe with room has it for `PIPE_BUF` bytes: so much is written at a time, and never blocks.
- A line is read when it is asked for: what is held is one read of `_READ_BYTES`, and one line.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, Final

import anyio
from anyio.lowlevel import checkpoint

from distilabel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

__all__ = ["read_lines", "write"]

_READ_BYTES: Final = 65_536
_LINE_BYTES_MAX: Final = 64 * 2**20
_WRITE_BYTES: Final = getattr(select, "PIPE_BUF", 512)


async def read_lines(descriptor: int, name: str) -> AsyncGenerator[bytes]:
    """The lines of a file descriptor, without their ends.

    Raises:
        ConfigurationError: a line is longer than 64 MB, or it cannot be read.
    """
    rest = b""
    while True:
        await _ready(anyio.wait_readable, descriptor)
        try:
            data = os.read(descriptor, _READ_BYTES)
        except OSError as error:
            raise ConfigurationError(f"{name} cannot be read: {error.strerror}") from error
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n") if b"\n" in data else (rest + data,)
        if len(rest) > _LINE_BYTES_MAX:
            raise ConfigurationError(f"a line of {name} is longer than 64 MB: is it JSON lines?")
        for line in lines:
            yield line
    if rest:
        yield rest


async def write(descriptor: int, data: bytes) -> None:
    """Write all of it.

    Raises:
        BrokenPipeError: nobody reads any more.
        OSError: it cannot be written.
    """
    left = memoryview(data)
    while left:
        await _ready(anyio.wait_writable, descriptor)
        left = left[os.write(descriptor, left[:_WRITE_BYTES]) :]


async def _ready(wait: Callable[[int], Awaitable[None]], descriptor: int) -> None:
    try:
        await wait(descriptor)
    except PermissionError:  # how epoll says that it is a file
        await checkpoint()
