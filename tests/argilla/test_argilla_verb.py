"""`distilabel push argilla` as a process, against a real Argilla server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from argilla_people import OWNER_KEY, WORKSPACE, labelled

pytestmark = [pytest.mark.argilla, pytest.mark.timeout(300)]
COMMAND = Path(sys.executable).with_name("distilabel")


def test_a_saved_data_set_is_pushed_twice_and_there_once(real, tmp_path):
    """A directory becomes records with suggestions; pushed again, they are updated."""
    labelled(20).save_to_disk(tmp_path / "rated")
    surroundings = {"ARGILLA_API_URL": real.url, "ARGILLA_API_KEY": OWNER_KEY}
    arguments = ["push", "argilla", "rated", "--name", "by-verb", "--workspace", WORKSPACE]
    for _ in range(2):
        done = subprocess.run(
            [COMMAND, *arguments],
            cwd=tmp_path,
            env={**os.environ, **surroundings},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "distilabel: 20 records pushed\n" in done.stderr
        assert done.stdout.startswith(real.url)
        assert done.stdout.count("\n") == 1
        assert "\x1b" not in done.stdout + done.stderr
        assert OWNER_KEY not in done.stdout + done.stderr
        assert len(real.records("by-verb")) == 20
    assert real.suggestions("by-verb")["question 3"]["generations-1-rating"] == (4, "gpt-4o")
