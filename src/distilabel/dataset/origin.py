"""Where a data set came from, and how that is kept beside it on disk.

- An origin is a value. All data sets made from one another share it; it is never copied.
- On disk it is `distilabel.json`, in the directory that `datasets` writes: plain data, readable by
  its owner alone, written whole or not at all, and last.
- The file names the fingerprint of its data. Where another data set was since written over that
  data, it says nothing about it and is passed over.
- Data can be read without the task's class. Until that class is imported the task is kept as it
  was saved: asking for it says what to import, and saving again loses nothing.
"""

from __future__ import annotations

import json
import os
import posixpath
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fsspec.core import url_to_fs  # type: ignore[import-untyped]  # comes with datasets
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

from distilabel import failpoints
from distilabel.errors import ConfigurationError
from distilabel.types import RunSummary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distilabel.tasks.base import Task
    from distilabel.types import StageName

__all__ = ["Origin", "StageOrigin", "read_origin", "write_origin"]

_FILE_NAME: Final = "distilabel.json"
_STATE_FILE_NAME: Final = "state.json"
"""Where `datasets` keeps the fingerprint."""
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class StageOrigin:
    """Who did a stage, and how it was set, as far as anybody may know it."""

    stage: StageName
    model: str
    backend: str
    """The backend's class, without its module."""
    task: str
    """The task's class, likewise."""
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Of sampling, the format of prompts if it was chosen, and whose the endpoint is. No address,
    no key."""
    task_settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Settings of the task that are not its defaults, as plain data."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The task and the run that made a data set."""

    known_task: Task | None = None
    run: RunSummary = field(default_factory=RunSummary)
    saved_task: Mapping[str, Any] | None = None
    """A task whose class was not imported when the data set was loaded, as it was saved."""
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many rows gave nothing when the data set was made to train on, by reason."""
    stages: tuple[StageOrigin, ...] = ()
    """In the order in which they ran; empty: not known."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Origin:
        return self

    @property
    def task(self) -> Task | None:
        """The task.

        Raises:
            ConfigurationError: its class has to be imported first.
        """
        return self.known_task if self.saved_task is None else _task_of(self.saved_task)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON.

        Raises:
            ConfigurationError: the task's settings are not plain data.
        """
        from distilabel.tasks.saving import to_dict

        task = self.saved_task if self.known_task is None else to_dict(self.known_task)
        more: dict[str, Any] = {"left_out": dict(self.left_out)} if self.left_out else {}
        if self.stages:
            more["stages"] = [asdict(stage) for stage in self.stages]
        return {"version": _VERSION, "task": task, "run": self.run.to_dict(), **more}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Origin:
        """The origin that `to_dict` wrote; its task may have to wait for its class."""
        task, run = data["task"], RunSummary.from_dict(data["run"])
        stages = tuple(StageOrigin(**stage) for stage in data.get("stages", ()))
        left_out = {str(reason): int(rows) for reason, rows in data.get("left_out", {}).items()}
        known = cls(run=run, left_out=left_out, stages=stages)
        if task is None:
            return known
        try:
            return replace(known, known_task=_task_of(task))
        except ConfigurationError:
            return replace(known, saved_task=task)


def _task_of(data: Mapping[str, Any]) -> Task:
    from distilabel.tasks.saving import from_dict

    return from_dict(data)


def write_origin(
    path: str | os.PathLike[str], origin: Mapping[str, Any], *, fingerprint: str, options: Any
) -> None:
    """Put an origin, as its `to_dict` gives it, beside the data that lies at `path`."""
    files, root = url_to_fs(path, **(options or {}))
    data = json.dumps({**origin, "fingerprint": fingerprint}, indent=2).encode()
    place = posixpath.join(root, _FILE_NAME)
    if isinstance(files, LocalFileSystem):
        _replace(Path(place), data)
    else:
        files.pipe_file(place, data)


def read_origin(path: str | os.PathLike[str], *, options: Any) -> Origin:
    """The origin beside the data at `path`; an empty one if there is none for that data.

    Raises:
        ConfigurationError: the file is damaged, or from a later release.
    """
    files, root = url_to_fs(path, **(options or {}))
    place = posixpath.join(root, _FILE_NAME)
    if not files.isfile(place):
        return Origin()
    try:
        data = json.loads(files.cat_file(place))
        state = json.loads(files.cat_file(posixpath.join(root, _STATE_FILE_NAME)))
        if data["version"] == _VERSION:
            is_its_own = data["fingerprint"] == state["_fingerprint"]
            return Origin.from_dict(data) if is_its_own else Origin()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{place} is damaged ({error!r}). The data beside it is not: remove the file to load "
            "it without its task and run."
        ) from error
    raise ConfigurationError(
        f"{place} was written by another release of distilabel (format {data['version']!r}, this "
        f"one reads {_VERSION}). Upgrade, or remove the file to load the data without its task."
    )


def _replace(place: Path, data: bytes) -> None:
    """Write the file whole, or leave what was there. `mkstemp` lets only the owner read it."""
    descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _pass("export_write")
            file.write(data)
            file.flush()
            _pass("export_fsync")
            os.fsync(file.fileno())
        _pass("export_rename")
        draft.replace(place)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _pass(point: str) -> None:
    if failpoints.reached is not None:
        failpoints.reached(point)
