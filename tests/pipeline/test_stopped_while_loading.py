"""A script that is stopped while `datasets` is being imported ends as SIGINT ends scripts."""

import os
import signal
import subprocess
import sys

import pytest

_DATASETS = """
import os, signal, sys, threading

def is_waiting():
    frame = sys._current_frames()[threading.main_thread().ident]
    while frame is not None:
        if frame.f_code.co_filename.endswith("loading.py"):
            return True
        frame = frame.f_back
    return False

while not is_waiting():
    threading.Event().wait(0.01)
os.kill(os.getpid(), signal.SIGINT)
exec("pass")
"""
"""A package that is imported until a signal was sent, and then resets what Python has noted."""

_SCRIPT = """
import os, signal, sys
from distilabel.errors import RunFatalError
from distilabel.pipeline import Pipeline
from distilabel.tasks import TextGenerationTask
from distilabel.testing import ScriptedLLM

signal.signal(signal.SIGINT, signal.default_int_handler)  # though the shell may have it ignored

def script(call):
    if os.environ["FIRST"] == "signal":
        os.kill(os.getpid(), signal.SIGINT)
        return "Hello."
    return RunFatalError("no such model", cause="model")

llm = ScriptedLLM(TextGenerationTask(), script, num_threads=1)
Pipeline(llm).generate([{"input": f"row {k}"} for k in range(500)], enable_checkpoints=False)
"""


@pytest.mark.parametrize("first", ["signal", "error"])
def test_a_signal_while_datasets_is_imported_ends_the_script_as_it_should(tmp_path, first):
    """With 130 in a shell, whatever ended the run before, and without a second traceback."""
    (tmp_path / "datasets.py").write_text(_DATASETS)
    ended = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "FIRST": first},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == -signal.SIGINT, ended.stderr
    if first == "signal":
        assert ended.stderr.count("Traceback") <= 1
