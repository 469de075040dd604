# ruff: noqa: INP001 - a program, and no package
"""The pictures in the README: the demo in a terminal as SVG, and a report in a browser as PNG.

Needs tmux and Chromium (`apt-get install tmux chromium`). `nox -s pictures` runs it.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

HERE = Path(__file__).parent
COLUMNS, LINES = 100, 60
PICTURE_WIDTH, PICTURE_HEIGHT = 1300, 560
PROGRAM = Path(sys.executable).with_name("distilabel")
NO_WEB_FONTS = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
"""Rich's, which would fetch its font from a server."""


def main() -> None:
    """Make them all, beside this file."""
    with TemporaryDirectory() as directory:
        running, done = terminal(f"{PROGRAM} demo --output demo", Path(directory))
        save(running, HERE / "demo-running.svg")
        save(from_line("Ratings by the judge", to="same against", screen=done), HERE / "demo.svg")
        report(Path(directory))


def terminal(command: str, directory: Path) -> tuple[str, str]:
    """What a program shows in the middle, when its labeller is at work, and at its end."""
    session = f"pictures-{directory.name}"
    size = ("-x", str(COLUMNS), "-y", str(LINES))
    tmux("new-session", "-d", "-s", session, *size, "-c", str(directory), f"{command}; cat")
    try:
        running = screen_with(r"labeller .*\b(9|1[0-4])\d/200", session)
        return running, screen_with(r"base_url=", session)
    finally:
        tmux("kill-session", "-t", session)


def screen_with(pattern: str, session: str, timeout_s: float = 60.0) -> str:
    """The screen, with its colours, once it shows this."""
    last = time.monotonic() + timeout_s
    while time.monotonic() < last:
        screen = tmux("capture-pane", "-e", "-p", "-t", session)
        if re.search(pattern, Text.from_ansi(screen).plain):
            return screen.rstrip()
        time.sleep(0.05)
    raise TimeoutError(f"the terminal did not show {pattern!r}")


def from_line(start: str, *, to: str, screen: str) -> str:
    """The lines from the one that holds the first to before the one that holds the second."""
    lines = screen.splitlines()
    plain = [Text.from_ansi(line).plain for line in lines]
    begin = next(k for k, line in enumerate(plain) if start in line)
    end = next(k for k, line in enumerate(plain) if to in line)
    return "\n".join(lines[begin:end]).rstrip()


def tmux(*arguments: str) -> str:
    """What one of its commands prints."""
    return subprocess.run(["tmux", *arguments], check=True, text=True, capture_output=True).stdout  # noqa: S603, S607


def save(screen: str, path: Path) -> None:
    """Draw a screen."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(screen))
    svg = console.export_svg(
        title="distilabel demo",
        theme=DIMMED_MONOKAI,
        code_format=NO_WEB_FONTS,
        unique_id=path.stem,
    )
    path.write_text(re.sub(r" +$", "", svg, flags=re.MULTILINE), encoding="utf-8")


def report(directory: Path) -> None:
    """The first screen of the report on the demo's data set."""
    page = directory / "report.html"
    subprocess.run([PROGRAM, "report", directory / "demo", "-o", page], check=True)  # noqa: S603
    size = f"--window-size={PICTURE_WIDTH},{PICTURE_HEIGHT}"
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", size]
    picture = f"--screenshot={HERE / 'report.png'}"
    subprocess.run(["chromium", *options, picture, page.as_uri()], check=True)  # noqa: S603, S607


if __name__ == "__main__":
    main()
