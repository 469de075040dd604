"""The verbs that run a pipeline: `generate`, `preview`, `estimate`; and `init`, which writes one.

Rules:

- A verb is an adapter: options and file become one recipe, and others do the work.
- An option that is not given is None, and leaves what the file says.
"""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Final, get_args

import typer

from distilabel.cli.ending import clean_end, say
from distilabel.errors import ConfigurationError
from distilabel.types import Resume

__all__ = ["GENERATE_EXAMPLES", "estimate", "generate", "init", "preview"]

GENERATE_EXAMPLES: Final = """Examples:

distilabel generate prompts.jsonl -m openai:gpt-4o-mini -o out.jsonl

distilabel generate prompts.csv -m http://127.0.0.1:8000/v1#llama -n 4 --label \
ultrafeedback:text-quality --labeller openai:gpt-4o --max-cost 5 --price 0,0 -o rated.parquet

cat prompts.jsonl | distilabel generate - -m openai:gpt-4o-mini | head -1

distilabel generate pipeline.yaml

Exit codes: 0 all is well; 1 the run failed; 2 what was asked for cannot work; 3 the run came to \
its end, but some rows have failures; 130 Ctrl-C; 143 SIGTERM."""

_Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="Rows: a .jsonl, .csv or .parquet file, a directory of save_to_disk, or - for JSON "
        "lines on standard input. Or a whole pipeline: a .yaml file.",
    ),
]
_Input = Annotated[
    str | None, typer.Option("--input", help="Rows in place of those that a .yaml file names.")
]
_Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        help="A .jsonl, .csv or .parquet file, or a directory. Without it, or with -, JSON lines "
        "on standard output while rows complete.",
    ),
]
_Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Who writes: openai:NAME, endpoint:NAMESPACE/NAME, or http://HOST:PORT/v1#NAME",
    ),
]
_Label = Annotated[
    str | None,
    typer.Option(
        "--label",
        metavar="ultrafeedback:ASPECT",
        help="What is rated: text-quality, helpfulness, truthfulness, honesty or "
        "instruction-following.",
    ),
]
_Labeller = Annotated[
    str | None, typer.Option("--labeller", help="Who rates; named as for --model.")
]
_Generations = Annotated[
    int | None, typer.Option("--num-generations", "-n", min=1, help="Texts for each row.")
]
_SystemPrompt = Annotated[str | None, typer.Option(help="Who the writer is to be.")]
_Tokens = Annotated[
    int | None, typer.Option(min=1, help="The most tokens of a generation (128 if not given).")
]
_Temperature = Annotated[float | None, typer.Option(min=0.0, help="Of the writer.")]
_Threads = Annotated[
    int | None, typer.Option(min=1, help="The most requests at once, to each model.")
]
_Price = Annotated[
    str | None,
    typer.Option(metavar="IN,OUT", help="The writer's, in US dollars per million tokens."),
]
_LabellerPrice = Annotated[str | None, typer.Option(metavar="IN,OUT", help="The labeller's.")]
_MaxCost = Annotated[float | None, typer.Option(help="A hard ceiling, in US dollars.")]
_Column = Annotated[str | None, typer.Option(help="The column with the prompts, if not `input`.")]
_Limit = Annotated[int | None, typer.Option(min=1, help="The first so many rows.")]
_Resume = Annotated[
    str | None,
    typer.Option(
        metavar="auto|always|never",
        help="auto: go on with an unfinished run; always: reuse finished ones, too; never.",
    ),
]
_Checkpoints = Annotated[
    str | None, typer.Option(help="The run's directory; else one under ./distilabel-runs.")
]
_Seed = Annotated[int | None, typer.Option(help="What all drawing is seeded with.")]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress; errors alone.")]


def generate(
    source: _Source,
    model: _Model = None,
    output: _Output = None,
    num_generations: _Generations = None,
    label: _Label = None,
    labeller: _Labeller = None,
    system_prompt: _SystemPrompt = None,
    max_new_tokens: _Tokens = None,
    temperature: _Temperature = None,
    num_threads: _Threads = None,
    max_cost: _MaxCost = None,
    price: _Price = None,
    labeller_price: _LabellerPrice = None,
    input_: _Input = None,
    input_column: _Column = None,
    limit: _Limit = None,
    ordered: Annotated[
        bool | None, typer.Option("--ordered", help="On standard output: in the input's order.")
    ] = None,
    include_metadata: Annotated[
        bool | None,
        typer.Option("--include-metadata", help="A column with model, tokens, seconds by call."),
    ] = None,
    resume: _Resume = None,
    checkpoint_dir: _Checkpoints = None,
    seed: _Seed = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the output.")] = False,
    quiet: _Quiet = False,
) -> None:
    """Write texts for rows with one model, and rate them with another.

    Keys come from the environment: OPENAI_API_KEY, HF_TOKEN.

    A run that was stopped goes on when the same is run again.
    """
    options = dict(locals())
    with clean_end():
        from distilabel.cli.generating import Job, run_job
        from distilabel.cli.inputs import open_rows

        recipe = _recipe(options)
        _check_apart(recipe.input, recipe.output)
        settings = recipe.settings(
            shows_progress=not quiet and not _shows_rows(recipe.output), is_quiet=quiet
        )
        pipe = recipe.pipeline()
        run_job(Job(pipe, open_rows(recipe), settings, recipe.output, force))


def preview(
    source: _Source,
    model: _Model = None,
    num_generations: _Generations = None,
    label: _Label = None,
    labeller: _Labeller = None,
    system_prompt: _SystemPrompt = None,
    max_new_tokens: _Tokens = None,
    temperature: _Temperature = None,
    num_threads: _Threads = None,
    max_cost: _MaxCost = None,
    price: _Price = None,
    labeller_price: _LabellerPrice = None,
    input_: _Input = None,
    input_column: _Column = None,
    limit: _Limit = None,
    resume: _Resume = None,
    checkpoint_dir: _Checkpoints = None,
    seed: _Seed = None,
    rows: Annotated[int, typer.Option(min=1, max=20, help="How many rows.")] = 3,
) -> None:
    """Do three rows, and show prompts and raw replies side by side, before the rest is bought.

    They are kept: `distilabel generate` with the same options does not buy them again.
    """
    options = dict(locals())
    with clean_end():
        from distilabel.cli.generating import Job, first_rows
        from distilabel.cli.inputs import open_rows
        from distilabel.cli.preview import show_preview

        recipe = _recipe(options)
        settings = recipe.settings(shows_progress=False, is_quiet=True)
        pipe = recipe.pipeline()
        show_preview(*first_rows(Job(pipe, open_rows(recipe), settings), rows))


def estimate(
    source: _Source,
    model: _Model = None,
    num_generations: _Generations = None,
    label: _Label = None,
    labeller: _Labeller = None,
    system_prompt: _SystemPrompt = None,
    max_new_tokens: _Tokens = None,
    temperature: _Temperature = None,
    num_threads: _Threads = None,
    max_cost: _MaxCost = None,
    price: _Price = None,
    labeller_price: _LabellerPrice = None,
    input_: _Input = None,
    input_column: _Column = None,
    limit: _Limit = None,
    resume: _Resume = None,
    checkpoint_dir: _Checkpoints = None,
    seed: _Seed = None,
    sample: Annotated[int, typer.Option(min=2, help="How many rows are done to know.")] = 20,
    quiet: _Quiet = False,
) -> None:
    """Do a few rows, and tell from them what all will take: calls, tokens, cost, time.

    The sample is kept: `distilabel generate` with the same options does not buy it again.
    """
    options = dict(locals())
    with clean_end():
        from distilabel.cli.inputs import open_rows

        recipe = _recipe(options)
        name = "standard input" if recipe.input == "-" else f"{recipe.input}, a pipe,"
        if isinstance(given := open_rows(recipe), AsyncIterator):
            raise ConfigurationError(
                f"{name} can be read once, and `generate` after this would lack the rows of the "
                "sample. Write the rows to a file, such as prompts.jsonl, and name that."
            )
        pipe = recipe.pipeline()
        found = pipe.estimate(
            given,
            recipe.num_generations,
            sample=sample,
            display_progress_bar=not quiet,
            verbose=not quiet,
            checkpoint_dir=recipe.checkpoint_dir,
            resume=recipe.resume,
            shuffle_before_labelling=recipe.shuffle_before_labelling,
            max_cost=recipe.max_cost,
            seed=recipe.seed,
        )
        sys.stdout.write(f"{found}\n")


def init(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="The file; - for standard output.")
    ] = "pipeline.yaml",
    force: Annotated[bool, typer.Option("--force", help="Replace it.")] = False,
) -> None:
    """Write a pipeline with every setting explained, which runs as it is."""
    from distilabel.cli.template import TEMPLATE

    with clean_end():
        if path == "-":
            sys.stdout.write(TEMPLATE)
            return
        if Path(path).suffix.lower() not in {".yaml", ".yml"}:
            raise ConfigurationError(f"{path} must end with .yaml, to be known as a pipeline")
        try:
            with Path(path).open("w" if force else "x", encoding="utf-8") as file:
                file.write(TEMPLATE)
        except FileExistsError:
            raise ConfigurationError(
                f"{path} exists. Choose another name, or have it replaced: --force"
            ) from None
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
        say(f"{path} is written. Next: distilabel preview {path}")


def _check_apart(source: object, output: str) -> None:
    """Refuse to write over the rows that are read: `--limit` alone would lose the others."""
    try:
        is_same = isinstance(source, str) and Path(source).samefile(output)
    except OSError:  # one is not there
        return
    if is_same:
        raise ConfigurationError(f"{output} is where the rows come from. Choose another place.")


def _shows_rows(output: str) -> bool:
    """Whether rows go to a terminal, where a progress bar would be drawn between them."""
    return output == "-" and sys.stdout is not None and sys.stdout.isatty()


def _recipe(options: dict[str, Any]) -> Any:
    """The recipe that a file and options make; options go first."""
    from distilabel.cli.recipe import is_recipe, read_recipe, recipe_of

    source, resume = options["source"], options.get("resume")
    if resume is not None and resume not in get_args(Resume):
        known = ", ".join(get_args(Resume))
        raise ConfigurationError(f"--resume must be one of {known}, not {resume!r}")
    values = read_recipe(source) if is_recipe(source) else {"input": source}
    for name in (
        "output",
        "num_generations",
        "max_cost",
        "input_column",
        "limit",
        "ordered",
        "include_metadata",
        "resume",
        "checkpoint_dir",
        "seed",
    ):
        _put(values, name, options.get(name))
    _put(values, "input", options["input_"])
    _put_models(values, options)
    return recipe_of(values)


def _put_models(values: dict[str, Any], options: dict[str, Any]) -> None:
    writer = _part(values, "generator", is_wanted=options["model"] is not None)
    judge = _part(values, "labeller", is_wanted=bool(options["labeller"] or options["label"]))
    if options["label"] is not None and not judge.get("model") and not options["labeller"]:
        raise ConfigurationError(
            "--label says what is rated, and nobody who rates: --labeller openai:gpt-4o"
        )
    _put(writer, "model", options["model"])
    _put(writer, "system_prompt", options["system_prompt"])
    _put(writer, "price", _as_price(options["price"]))
    _put(judge, "model", options["labeller"])
    _put(judge, "task", options["label"])
    _put(judge, "price", _as_price(options["labeller_price"]))
    for name in ("max_new_tokens", "temperature"):
        _put(writer if "generator" in values else judge, name, options[name])
    for part in (writer, judge):
        _put(part, "num_threads", options["num_threads"])
    if writer and "generator" not in values and set(writer) - {"num_threads"}:
        raise ConfigurationError("nobody writes: name a model, --model openai:gpt-4o-mini")


def _part(values: dict[str, Any], name: str, *, is_wanted: bool) -> dict[str, Any]:
    """The part of a recipe that options go to; one that is not wanted is not in the recipe."""
    found = values.get(name)
    if found is None and not is_wanted:
        values.pop(name, None)
        return {}
    part = dict(found) if isinstance(found, dict) else {}
    if found is None or isinstance(found, dict):
        values[name] = part
    return part


def _put(values: dict[str, Any], name: str, value: object) -> None:
    if value is not None:
        values[name] = value


def _as_price(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        read, written = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigurationError(
            f"{text!r} is no price: US dollars per million tokens read and written, as in 0.15,0.60"
        ) from None
    return [read, written]
