"""A data set is pushed to a hub on this machine, and comes back as it was."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fake_hub import fake_hub

CHILD = Path(__file__).with_name("hub_child.py")


@pytest.fixture
def hub():
    """A hub without repositories."""
    with fake_hub() as hub:
        yield hub


@pytest.fixture
def found(hub, tmp_path):
    """Runs a scenario of the child against the hub, and gives what it found."""

    def run(scenario: str) -> dict:
        surroundings = {
            **os.environ,
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        ran = subprocess.run(
            [sys.executable, str(CHILD), scenario],
            env=surroundings,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr[-4000:]
        return json.loads((tmp_path / "found.json").read_text())

    return run


def front_matter(readme: str) -> dict:
    """The card's metadata."""
    return yaml.safe_load(readme.split("---\n")[1])


def test_round_trip(hub, found, tmp_path):
    """Rows, types, task, run and stages come back, and the card tells them without secrets."""
    hub.conflicts_left = 1
    assert found("round_trip") == {
        "rows": True,
        "features": True,
        "task": True,
        "run": True,
        "stages": True,
        "part": 1,
        "type": "CustomDataset",
    }
    files = hub.repositories["someone/rated"].files
    assert sum(path.endswith(".parquet") for path in files) == 2
    readme = files["README.md"].decode()
    data = front_matter(readme)
    assert data["tags"] == ["distilabel", "synthetic", "preference"]
    assert data["size_categories"] == ["n<1K"]
    assert data["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*"}]
    assert not {"license", "language"} & data.keys()
    for told in (
        "```text\nBe brief.\n```",
        "```text\nJudge well.\n```",
        "| generator | `writer-small` (8) | `writer-small-0613` (4) | `Writer` |",
        "| labeller | `judge` (4) | not known | `Judge` |",
        '"temperature": 0.7',
        "| `section_missing` | 4 |",
        "| generator | `length` | 4 | 50.0% |",
        "| generator | `content_filter` | 0 | 0.0% |",
        "4 texts have a rating (mean 2.00), 4 have none.",
        "| tokens written | 80 |",
        "not known: no price was set",
        "CustomDataset.from_hub(REPO_ID",
        "Pipeline(generator=generator, labeller=labeller).generate(rows, num_generations=2)",
        "# the author's own, not in this file: Judge, Writer",
    ):
        assert told in readme, told
    published = readme + files["distilabel/default/train.json"].decode()
    for secret in ("hf_canary", "10.0.0.7", "/srv/models", str(tmp_path), f"{Path.home()}/"):
        assert secret not in published
    assert f"/{getpass.getuser()}/" not in published


def test_splits_and_configurations(hub, found):
    """Each split has a section and an origin, which says nothing of rows pushed over it."""
    assert found("splits_and_configs") == {
        "before": 4,
        "after": [2, 0, True],
        "kto": [4, {"no_rating": 4}, 4],
    }
    files = hub.repositories["someone/rated"].files
    readme = files["README.md"].decode()
    for name in ("default.train", "default.test", "kto.train"):
        assert readme.count(f"<!-- distilabel begin {name} -->") == 1
    assert {path for path in files if path.startswith("distilabel/")} == {
        "distilabel/default/train.json",
        "distilabel/default/test.json",
        "distilabel/kto/train.json",
    }
    assert front_matter(readme)["tags"] == ["distilabel", "synthetic", "preference", "kto"]


def test_the_size_is_that_of_all_splits(found):
    """The size category counts the rows of every split and configuration, each once."""
    assert found("sizes") == {"found": [["n<1K"], ["1K<n<10K"], ["1K<n<10K"], ["1K<n<10K"]]}


def test_a_card_that_is_refused(hub, found):
    """If the card cannot be added, the error says that the rows are there and what to do."""
    hub.refuses_cards = True
    result = found("refused")
    assert "the rows were pushed to someone/rated" in result["error"]
    assert "Push again" in result["error"]
    assert result["rows"] == 4
