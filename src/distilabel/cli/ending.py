"""How a verb ends: what went wrong in one line, and the exit code."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import typer

from distilabel.errors import ConfigurationError, DistilabelError, MissingDependencyError
from distilabel.naming import spelled
from distilabel.untrusted import one_line

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["clean_end", "in_options", "say"]

_LINE_MAX: Final = 2_000


_OPTIONS: Final = {
    **{
        name: f"--{name.replace('_', '-')}"
        for name in (
            "checkpoint_dir",
            "labeller_price",
            "max_cost",
            "max_new_tokens",
            "num_generations",
            "price",
            "resume",
        )
    },
    "replace": "--force",
    "renaming": " in the input itself.",
    "base_url": "its URL as the model, http://HOST:PORT/v1#NAME",
    "openai_api_key": "key_env in a .yaml file",
    "token": "key_env in a .yaml file",
}
"""What the command line has for arguments that messages name."""


@contextmanager
def clean_end() -> Generator[None]:
    """Whatever ends a verb, say it in one line and with an exit code.

    Nobody who reads any more (`| head -1`) is no failure.
    """
    try:
        yield
        if sys.stdout is not None:  # closed by who started the command
            sys.stdout.flush()
    except BrokenPipeError:
        with suppress(OSError):  # Python flushes once more at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise typer.Exit(0) from None
    except KeyboardInterrupt:
        say("stopped")
        raise typer.Exit(130) from None
    except (ConfigurationError, MissingDependencyError) as error:
        say(in_options(error))
        raise typer.Exit(2) from None
    except DistilabelError as error:
        say(in_options(error))
        raise typer.Exit(1) from None


def in_options(error: Exception) -> str:
    """An error's message, with options of the command line for arguments of Python."""
    message = error.args[0] if error.args else ""
    return spelled(message, _OPTIONS) if isinstance(message, str) else str(error)


def say(text: str) -> None:
    """One line on standard error, without control characters."""
    sys.stderr.write(f"distilabel: {one_line(text, characters_max=_LINE_MAX)}\n")
