"""`distilabel push`: a saved data set to Argilla, where people read and correct it, or to the hub.

Rules:

- Keys come from the environment: `ARGILLA_API_KEY`; `HF_TOKEN`, or the hub's own login.
- Errors of the hub's client become one of ours, without what was sent.
"""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distilabel.cli.ending import clean_end, say
from distilabel.errors import ConfigurationError, DistilabelError
from distilabel.untrusted import one_line

if TYPE_CHECKING:
    from distilabel.dataset import CustomDataset

__all__ = ["push_app"]

_Directory = Annotated[
    Path, typer.Argument(metavar="DIRECTORY", help="A data set of save_to_disk.")
]

push_app = typer.Typer(
    help="Push a saved data set to Argilla or to the Hugging Face hub.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@push_app.command(
    epilog="Example: distilabel push argilla rated --name preference-dataset --workspace admin"
)
def argilla(
    directory: _Directory,
    name: Annotated[str, typer.Option(help="The data set's name in Argilla.")],
    workspace: Annotated[str, typer.Option(help="A workspace that is there.")],
    api_url: Annotated[
        str | None, typer.Option(help="The server; else ARGILLA_API_URL. Its key: ARGILLA_API_KEY.")
    ] = None,
) -> None:
    """Add the rows to a data set in Argilla as records, or update them there."""
    with clean_end():
        pushed = _loaded(directory).push_to_argilla(name, workspace, api_url=api_url)
        say(f"{pushed.records:,} records pushed")
        sys.stdout.write(f"{one_line(pushed.url)}\n")


@push_app.command(epilog="Example: distilabel push hub rated my-name/rated --private")
def hub(
    directory: _Directory,
    repo_id: Annotated[str, typer.Argument(metavar="NAMESPACE/NAME", help="The repository.")],
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="If the repository is made.")
    ] = None,
) -> None:
    """Push the rows to the hub, with a card of how they were made."""
    with clean_end():
        dataset: Any = _loaded(directory)  # whose method takes what that of `datasets` takes
        with _hub_errors(repo_id):
            pushed = dataset.push_to_hub(repo_id, private=private)
        say(f"{len(dataset):,} rows pushed")
        sys.stdout.write(f"{one_line(str(getattr(pushed, 'repo_url', repo_id)))}\n")


def _loaded(directory: Path) -> "CustomDataset":
    if not (directory / "dataset_info.json").is_file():
        raise ConfigurationError(
            f"{directory} holds no data set of save_to_disk. `distilabel generate … -o NAME` "
            "writes one, and so does `distilabel runs export RUN NAME`."
        )
    if not sys.stderr.isatty():
        for name in ("HF_DATASETS_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_PROGRESS_BARS"):
            os.environ.setdefault(name, "1")  # read when those packages are imported
    from distilabel.dataset import CustomDataset

    return CustomDataset.load_from_disk(directory)


@contextmanager
def _hub_errors(repo_id: str) -> Generator[None]:
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    try:
        yield
    except DistilabelError:
        raise
    except HFValidationError as error:
        raise ConfigurationError(f"{repo_id!r} is no repository's name: {error}") from None
    except LocalTokenNotFoundError:
        raise ConfigurationError("there is no token for the hub. Set HF_TOKEN.") from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        hint = " Set HF_TOKEN to a token that may write there." * (status in {401, 403})
        raise DistilabelError(f"the hub refused {repo_id} with status {status}.{hint}") from None
    except Exception as error:  # its HTTP client's errors have no root of the hub's
        if isinstance(error, OSError) or type(error).__module__.startswith("http"):
            raise DistilabelError(
                f"the hub cannot be reached: {type(error).__name__}. Try again."
            ) from None
        raise
