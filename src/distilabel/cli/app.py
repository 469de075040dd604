"""The verbs of the command line, and how each ends.

Rules:

- What goes wrong ends as one line on standard error: exit code 2 if what was asked for cannot work,
  1 if a run failed, 130 for Ctrl-C. A traceback means a bug of ours, and shows no local variables:
  they may hold keys.
- A verb is an adapter: it turns options into values, and calls what does the work.
"""

from pathlib import Path
from typing import Annotated

import typer

from distilabel import __version__
from distilabel.cli.ending import clean_end
from distilabel.cli.generate import GENERATE_EXAMPLES, estimate, generate, init, preview
from distilabel.cli.prompts import PROMPTS_MAX
from distilabel.cli.push import push_app
from distilabel.cli.report import report
from distilabel.cli.runs import runs_app
from distilabel.errors import ConfigurationError

__all__ = ["app"]

app = typer.Typer(
    help="Make data sets with language models: one writes, another rates.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=GENERATE_EXAMPLES)(generate)
app.command(epilog="Example: distilabel init && distilabel preview pipeline.yaml")(init)
app.command(epilog="Example: distilabel preview prompts.jsonl -m openai:gpt-4o-mini -n 2")(preview)
app.command(epilog="Example: distilabel estimate prompts.jsonl -m openai:gpt-4o-mini -n 2")(
    estimate
)
app.add_typer(runs_app, name="runs")
app.add_typer(push_app, name="push")
app.command(epilog="Example: distilabel report my-dataset -o report.html")(report)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"distilabel {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="The version.")
    ] = False,
) -> None:
    """Make data sets with language models: one writes, another rates."""
    del version  # its callback has seen to it


@app.command(epilog="Example: distilabel demo --rows 20 --output tried")
def demo(
    rows: Annotated[int, typer.Option(min=1, max=PROMPTS_MAX, help="How many prompts.")] = 200,
    generations: Annotated[int, typer.Option(min=1, max=8, help="Texts for each prompt.")] = 2,
    seed: Annotated[int, typer.Option(help="Another seed, other texts and ratings.")] = 0,
    output: Annotated[Path, typer.Option(help="Where the data set is saved.")] = Path(
        "distilabel-demo"
    ),
    latency_median: Annotated[
        float, typer.Option(min=0.0, max=60.0, help="Seconds that half of the calls stay below.")
    ] = 2.0,
) -> None:
    """Write and rate 200 prompts against a provider that is simulated on this machine."""
    from distilabel.cli.demo import DemoOptions, run_demo

    with clean_end():
        run_demo(DemoOptions(rows, generations, seed, output, latency_median))


@app.command(epilog="Example: distilabel simulate --port 8000 --slots 8 --error-rate 0.05")
def simulate(
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any that is free.")] = 8000,
    latency_median: Annotated[
        float, typer.Option(min=0.0, help="Seconds that half of the replies stay below.")
    ] = 0.5,
    sigma: Annotated[float, typer.Option(min=0.0, help="How scattered they are.")] = 0.6,
    seed: Annotated[int, typer.Option(help="Decides replies, latencies and faults.")] = 0,
    slots: Annotated[
        int | None, typer.Option(min=1, help="Requests served at once; the others wait.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Requests a second; the others get a 429.")
    ] = None,
    error_rate: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The share of requests that get a 500.")
    ] = 0.0,
) -> None:
    """Serve a provider that answers like OpenAI, TGI and Inference Endpoints, until Ctrl-C."""
    from distilabel.testing.serving import ServeOptions, serve

    options = ServeOptions(
        host=host,
        port=port,
        latency_median_s=latency_median,
        sigma=sigma,
        seed=seed,
        slots=slots,
        rate_per_s=rate,
        error_rate=error_rate,
    )
    with clean_end():
        try:
            serve(options)
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {host}:{port}: {error}") from error


@app.command(epilog="Example: distilabel doctor --model http://127.0.0.1:8000/v1#llama")
def doctor(
    pipeline: Annotated[
        str | None, typer.Argument(metavar="PIPELINE", help="A .yaml file: its models are asked.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Ask this model's server, too; may be repeated."),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(help="Where runs are; else DISTILABEL_RUNS, else ./distilabel-runs."),
    ] = None,
) -> None:
    """Look for what would keep a run from working: keys, servers, disk, versions; say the remedy.

    Exit code 1 if something is wrong. No key is shown, nothing is bought.
    """
    from distilabel.cli.doctor import examine, write_findings
    from distilabel.cli.models import ModelSettings
    from distilabel.cli.recipe import read_recipe, recipe_of

    with clean_end():
        models = [ModelSettings(model=each) for each in model or ()]
        if pipeline is not None:
            recipe = recipe_of(read_recipe(pipeline))
            models += [each for each in (recipe.generator, recipe.labeller) if each is not None]
        is_well = write_findings(examine(models, root))
    if not is_well:
        raise typer.Exit(1)
