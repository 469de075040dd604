"""A data set on the hub: its rows as `datasets` writes them, its card, and where it comes from.

- First the rows are pushed, by `datasets` itself. Then one commit adds the card and the origin:
  task, run, and what the stages were. If that fails, the rows are there, and the error says so.
- The origin lies in `distilabel/<config>/<split>.json`. It names the files of its rows with their
  hashes. Where other rows were pushed over these since, it says nothing about them and is passed
  over.
- Nothing in that file chooses what is imported; see `distilabel.tasks.saving`.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from datasets import config as datasets_config
from huggingface_hub import CommitOperationAdd, DatasetCard, HfApi, HfFileSystem
from huggingface_hub.errors import HfHubHTTPError

from distilabel import __version__
from distilabel.dataset.card import (
    CardSubject,
    rows_told,
    size_category,
    tags,
    with_section,
    write_section,
)
from distilabel.dataset.figures import count
from distilabel.dataset.markdown import cover
from distilabel.dataset.origin import Origin
from distilabel.errors import ConfigurationError, DistilabelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import datasets

__all__ = ["describe", "load_origin", "revision_of", "subject_of"]

_README: Final = "README.md"
_TRIES: Final = 5
_CONFLICTS: Final = frozenset({409, 412})
_VERSION: Final = 1


def subject_of(
    dataset: datasets.Dataset, origin: Origin, *, config_name: str, split: str
) -> CardSubject:
    """What the card of these rows is about; counted before anything is pushed.

    Raises:
        ConfigurationError: the task's settings are not plain data.
    """
    task = origin.to_dict()["task"]
    return CardSubject(origin, task, count(dataset), dataset.column_names, config_name, split)


def describe(
    subject: CardSubject,
    commit: Any,
    *,
    data_dir: str,
    revision: str | None,
    token: str | None,
) -> Any:
    """Add card and origin to rows that were just pushed; the commit that did.

    Args:
        subject: the rows, and where they come from.
        commit: what pushing the rows gave.
        data_dir: the folder of their files.
        revision: the branch, if it was not the main one.
        token: the user's.

    Raises:
        DistilabelError: the rows are there, but card and origin could not be added.
    """
    api = _api(token)
    repo_id, revision = commit.repo_url.repo_id, commit.pr_revision or revision or "main"
    saved, section = subject.origin.to_dict(), write_section(subject)
    config_name, split = subject.config_name, subject.split
    for attempt in range(1, _TRIES + 1):
        parent = api.dataset_info(repo_id, revision=revision).sha
        readme = _read(repo_id, parent, _README, token).decode()
        files = {"files": _hashes(api, repo_id, parent, f"{data_dir}/{split}-")}
        data = json.dumps({**saved, **files}, indent=2, ensure_ascii=False)
        additions = {
            _README: _card(readme, section, subject, title=repo_id.rpartition("/")[2]),
            _place(config_name, split): cover(data),
        }
        try:
            return api.create_commit(
                repo_id,
                [CommitOperationAdd(path, text.encode()) for path, text in additions.items()],
                commit_message="Say how the rows were made",
                repo_type="dataset",
                revision=revision,
                parent_commit=parent,
            )
        except (HfHubHTTPError, ValueError) as error:
            is_conflict = isinstance(error, HfHubHTTPError) and (
                error.response.status_code in _CONFLICTS
            )
            if not is_conflict or attempt == _TRIES:
                raise DistilabelError(
                    f"the rows were pushed to {repo_id}, but their card and origin could not be "
                    f"added ({error}). Push again to add them; rows that are there are not sent "
                    "twice."
                ) from error
            time.sleep(attempt)  # somebody else's commit is under way
    raise AssertionError


def load_origin(
    repo_id: str, *, config_name: str, split: str, revision: str, token: str | None
) -> Origin:
    """The origin of rows on the hub; an empty one if there is none for the rows that are there.

    Raises:
        ConfigurationError: the file that holds it is damaged, or from a later release.
    """
    place = _place(config_name, split)
    try:
        text = _read(repo_id, revision, place, token)
    except FileNotFoundError:
        return Origin()
    try:
        data = json.loads(text)
        if data["version"] == _VERSION:
            files: Mapping[str, str] = dict(data["files"])
            there = _api(token).get_paths_info(
                repo_id, list(files), revision=revision, repo_type="dataset"
            )
            is_its_own = {file.path: _hash(file) for file in there} == files
            return Origin.from_dict(data) if is_its_own else Origin()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{place} of {repo_id} is damaged ({error!r}). The rows are not: load them without "
            "task and run by datasets.load_dataset."
        ) from error
    raise ConfigurationError(
        f"{place} of {repo_id} was written by another release of distilabel (format "
        f"{data['version']!r}, this one reads {_VERSION}). Upgrade, or load the rows without task "
        "and run by datasets.load_dataset."
    )


def revision_of(repo_id: str, revision: str | None, token: str | None) -> str:
    """The commit that a revision is now."""
    return str(_api(token).dataset_info(repo_id, revision=revision).sha)


def _place(config_name: str, split: str) -> str:
    return f"distilabel/{config_name}/{split}.json"


def _api(token: str | None) -> HfApi:
    return HfApi(
        endpoint=datasets_config.HF_ENDPOINT,
        token=token,
        library_name="distilabel",
        library_version=__version__,
    )


def _read(repo_id: str, revision: str | None, path: str, token: str | None) -> bytes:
    files: Any = HfFileSystem(endpoint=datasets_config.HF_ENDPOINT, token=token)
    return bytes(files.cat_file(f"datasets/{repo_id}@{revision}/{path}"))


def _hashes(api: HfApi, repo_id: str, revision: str | None, prefix: str) -> dict[str, str]:
    folder = prefix.rpartition("/")[0]
    tree = api.list_repo_tree(repo_id, folder, revision=revision, repo_type="dataset")
    return {each.path: _hash(each) for each in tree if each.path.startswith(prefix)}


def _hash(file: Any) -> str:
    return str(file.lfs.sha256 if file.lfs else file.blob_id)


def _card(readme: str, section: str, subject: CardSubject, *, title: str) -> str:
    """The README with this section and its front matter; what else is there stays."""
    card = DatasetCard(readme)
    own = card.data.get("tags") or []
    card.data["tags"] = list(dict.fromkeys([*own, *tags(subject.columns)]))
    rows = max(rows_told(card.data.get("dataset_info")), subject.figures.rows)
    card.data["size_categories"] = [size_category(rows)]
    card.text = with_section(
        card.text if card.text.strip() else f"\n# {title}\n",
        section,
        config_name=subject.config_name,
        split=subject.split,
    )
    return str(card)
