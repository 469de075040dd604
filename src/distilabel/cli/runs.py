"""`distilabel runs`: list, show, resume, export and clean what runs have left on disk.

Rules:

- A verb is an adapter: it turns options into values, and calls what does the work.
- What is shown goes to standard output, and what is said about it to standard error: so a pipe gets
  nothing but data.
- What deletes asks first. Where nobody can be asked it wants `--yes`.
"""

import re
import sys
from collections.abc import Sized
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from distilabel.cli.ending import clean_end, say
from distilabel.errors import ConfigurationError

__all__ = ["runs_app"]

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

_Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A run's name, or the path of its directory.")
]
_Root = Annotated[
    Path | None,
    typer.Option(help="Where runs are; else DISTILABEL_RUNS, else ./distilabel-runs."),
]
_AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]

runs_app = typer.Typer(
    help="List, show, resume, export and clean what runs have left on disk.",
    invoke_without_command=True,
    epilog="Example: distilabel runs",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@runs_app.callback()
def _runs(context: typer.Context, root: _Root = None, as_json: _AsJson = False) -> None:
    """List, show, resume, export and clean what runs have left on disk."""
    context.obj = root
    if context.invoked_subcommand is None:
        list_them(context, None, as_json)
    elif as_json:
        raise typer.BadParameter("put --json after the verb", param_hint="--json")


@runs_app.command("list", epilog="Example: distilabel runs list --json")
def list_them(context: typer.Context, root: _Root = None, as_json: _AsJson = False) -> None:
    """List the runs, the one written last first."""
    from distilabel import runs
    from distilabel.cli.runs_page import print_json, print_list
    from distilabel.runs.details import info_to_dict
    from distilabel.runs.listing import root_or_default

    with clean_end():
        place = root_or_default(root or context.obj)
        found = runs.list_runs(place)
        if as_json:
            print_json([info_to_dict(run) for run in found])
        elif found:
            print_list(found)
        else:
            say(f"there are no runs in {place}")


@runs_app.command(epilog="Example: distilabel runs show writer-judge-0a1b2c3d-1")
def show(context: typer.Context, name: _Name, root: _Root = None, as_json: _AsJson = False) -> None:
    """Show one run: rows, failures, calls, tokens, and how to go on."""
    from distilabel import runs
    from distilabel.cli.runs_page import print_details, print_json

    with clean_end():
        details = runs.show(name, root or context.obj)
        if as_json:
            print_json(details.to_dict())
        else:
            print_details(details)


@runs_app.command(epilog="Example: distilabel runs resume writer-judge-0a1b2c3d-1")
def resume(context: typer.Context, name: _Name, root: _Root = None) -> None:
    """Start the script of an unfinished run again; it goes on where it stopped.

    Only a script that was started without arguments: arguments are not kept, as they may hold keys.
    Its exit code is this command's.
    """
    from distilabel.runs.relaunch import execute, relaunch_of

    with clean_end():
        relaunch = relaunch_of(name, root or context.obj)
        if relaunch.can_run:
            say(f"resuming: {relaunch.command}")
        execute(relaunch)


@runs_app.command(
    epilog="Example: distilabel runs export writer-judge-0a1b2c3d-1 rated.jsonl",
)
def export(
    context: typer.Context,
    name: _Name,
    output: Annotated[
        str,
        typer.Argument(
            metavar="OUT",
            help="A file that ends with .jsonl, .parquet or .csv; a directory, for "
            "load_from_disk; or - for JSON lines on standard output.",
        ),
    ],
    root: _Root = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Write the rows that a run has finished so far, in the order of the input."""
    from distilabel import runs
    from distilabel.runs.files import check_output, write_json_lines

    with clean_end():
        if output != "-":
            check_output(output, replace=force)
        dataset = runs.export(name, root or context.obj)
        if output == "-":
            write_json_lines(dataset, sys.stdout.buffer)
            sys.stdout.flush()
        else:
            runs.save(dataset, output, replace=force)
        say(f"{len(dataset):,} rows" + ("" if output == "-" else f" written to {output}"))


@runs_app.command(epilog="Example: distilabel runs clean --older-than 7d")
def clean(
    context: typer.Context,
    root: _Root = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Unfinished runs too: what they paid for is lost.")
    ] = False,
    older_than: Annotated[
        str | None, typer.Option(help="Only runs last written so long ago: 90m, 12h, 7d, 4w.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete finished runs. Data sets that were saved elsewhere stay."""
    from distilabel import runs
    from distilabel.cli.runs_page import print_list, size_of

    with clean_end():
        chosen = runs.cleanable(
            root or context.obj,
            only_finished=not everything,
            older_than=None if older_than is None else _duration(older_than),
        )
        if not chosen:
            say("there is nothing to clean" + ("" if everything else "; unfinished runs are kept"))
            return
        if not yes:
            if not sys.stdin.isatty():
                raise ConfigurationError(
                    f"{_runs_in(chosen)} would be deleted, and nobody can be asked here: this is "
                    "no terminal. Say --yes."
                )
            print_list(chosen)
            if not typer.confirm(f"Delete {_runs_in(chosen)}?", err=True):
                say("nothing was deleted")
                return
        deleted = runs.delete(chosen, only_finished=not everything)
        kept = len(chosen) - len(deleted)
        say(
            f"deleted {_runs_in(deleted)}, {size_of(deleted)}"
            + (f"; {kept} came into use meanwhile, or cannot be deleted" if kept else "")
        )


def _runs_in(runs: Sized) -> str:
    """How many.

    >>> _runs_in([1]), _runs_in([])
    ('1 run', '0 runs')
    """
    return f"{len(runs)} run" + "s" * (len(runs) != 1)


def _duration(text: str) -> timedelta:
    """A length of time.

    >>> _duration("7d"), _duration("90m")
    (datetime.timedelta(days=7), datetime.timedelta(seconds=5400))
    """
    match = re.fullmatch(r"([0-9]{1,6})([mhdw])", text.strip())
    if match is None:
        raise ConfigurationError(f"{text!r} is no length of time. Say 90m, 12h, 7d or 4w.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
