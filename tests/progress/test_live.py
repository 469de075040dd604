"""Bars that are redrawn, drawn on a console that is no terminal."""

import io

import pytest
from rich.console import Console

from distilabel.progress.live import can_redraw, drawn

TROUBLE = {"retries": 12, "throttles": 3, "rows_failed": 2}


def text_of(stages, width):
    """What is drawn, as lines."""
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(drawn(stages, width))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [50, 60, 80, 100, 120, 200])
def test_a_stage_is_a_line(stage, width):
    """At any usual width each stage is one line, in full, with rows, rate and time left."""
    lines = text_of([stage(), stage(name="labeller", rows=45)], width)
    assert len(lines) == 2
    for line in lines:
        assert len(line) <= width
        assert "…" not in line
        assert "21.3 rows/s" in line
        assert line.rstrip().endswith("0:04 left")
    assert "45/200" in lines[1]


@pytest.mark.parametrize("width", [80, 120])
def test_a_usual_width_has_a_bar(stage, width):
    """Eighty columns are enough for a bar and for tokens."""
    (line,) = text_of([stage()], width)
    assert "━" in line
    assert "84.2k tokens" in line


@pytest.mark.parametrize(("width", "lines"), [(80, 3), (160, 2)])
def test_troubles_are_told_and_cost_no_figure(stage, width, lines):
    """Retries and failures stand in the line, or below where they do not fit."""
    found = text_of([stage(), stage(name="labeller", **TROUBLE)], width)
    assert len(found) == lines
    assert "12 retried, 3 throttled, 2 failed" in found[-1]
    assert "84.2k tokens" in found[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"rows_total": None, "left_s": None},
        {"rows_total": None, "left_s": None, "state": "done"},
        {"rows_total": 0, "rows": 0, "left_s": None, "state": "done"},
        {"rows": 0, "rows_per_s": None, "tokens_per_s": None, "left_s": None},
    ],
)
def test_whatever_is_unknown_can_be_drawn(stage, changes):
    """A total that is unknown, or nothing, is drawn all the same."""
    (line,) = text_of([stage(**changes)], 100)
    assert line.startswith("generator")


def test_a_pipe_is_not_drawn_over(monkeypatch):
    """Not even where colours are forced: lines in a pipe cannot be redrawn."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not can_redraw(Console(file=io.StringIO()))


def test_a_notebook_without_widgets_gets_lines(monkeypatch):
    """Rich needs ipywidgets to redraw in a notebook, and warns without; lines do without."""
    monkeypatch.setattr("distilabel.progress.live.find_spec", lambda name: None)
    assert not can_redraw(Console(force_jupyter=True))
    monkeypatch.setattr("distilabel.progress.live.find_spec", lambda name: object())
    assert can_redraw(Console(force_jupyter=True))
