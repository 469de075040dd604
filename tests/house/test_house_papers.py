"""What the papers say (README, CHANGELOG, CONTRIBUTING, design pages) agrees with what is there."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import distilabel
from distilabel.limits import HealthPolicy, RetryPolicy
from distilabel.transport import Timeouts

ROOT = Path(__file__).parents[2]
PAPERS = [
    path
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
    if path.exists()
]


def pyproject() -> dict:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def command_after(marker: str) -> list[str]:
    """The lines of the block of the README that follows a marker."""
    text = (ROOT / "README.md").read_text()
    block = re.search(rf"<!-- {marker}[^>]*-->\n```sh\n(.*?)```", text, re.DOTALL)
    assert block is not None
    return block[1].splitlines()


def sessions() -> set[str]:
    """The names of nox's sessions."""
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(each).startswith("nox.session") for each in node.decorator_list)
    }


def run_ci(folder: Path, readme: str) -> subprocess.CompletedProcess[str]:
    """.ci/run beside a README of ours."""
    (folder / ".ci").mkdir()
    script = folder / ".ci" / "run"
    script.write_text((ROOT / ".ci" / "run").read_text())
    (folder / "README.md").write_text(readme)
    return subprocess.run(["bash", str(script)], capture_output=True, text=True, check=False)


def test_the_latest_entry_of_the_changelog_is_this_version():
    """The CHANGELOG's first dated entry is the version that the package says it is."""
    entry = re.search(
        r"^## \[(\d[^\]]*)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert entry is not None
    assert entry[1] == distilabel.__version__


@pytest.mark.parametrize("marker", ["the demo command", "the test command"])
def test_a_command_is_one_line(marker):
    """The demo and the tests are one command line each."""
    (line,) = command_after(marker)
    assert line.startswith("python3 -m venv .venv && ")


def test_the_demo_command_is_one_that_is_installed():
    """The command that the README runs is one that the package installs."""
    (line,) = command_after("the demo command")
    assert line.endswith(".venv/bin/distilabel demo")
    assert "distilabel" in pyproject()["project"]["scripts"]


def test_ci_runs_the_command_of_the_readme(tmp_path):
    """.ci/run runs the line that stands in the README, in the checkout's root, and no other."""
    done = run_ci(
        tmp_path, "<!-- the test command: x -->\n```sh\necho ran && pwd\n```\n```sh\nfalse\n```\n"
    )
    assert done.returncode == 0
    assert ["ran", str(tmp_path)] == done.stdout.splitlines()[1:3]


def test_ci_fails_with_the_command(tmp_path):
    """.ci/run ends with the failure of the command that it runs."""
    assert run_ci(tmp_path, "<!-- the test command -->\n```sh\nexit 7\n```\n").returncode == 7


def test_ci_fails_without_a_command(tmp_path):
    """.ci/run fails if the README holds no test command."""
    assert run_ci(tmp_path, "# distilabel\n```sh\necho no\n```\n").returncode == 1


@pytest.mark.parametrize("paper", PAPERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_session_that_is_named_exists(paper):
    """Every session of nox that a page names exists."""
    named = set(re.findall(r"nox -s ([a-z]+)", paper.read_text()))
    assert named - sessions() == set()


@pytest.mark.parametrize("paper", PAPERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_link_leads_somewhere(paper):
    """Every link between files of the repository leads to a file that exists."""
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", paper.read_text())
    assert [link for link in links if not (paper.parent / link).exists()] == []


def test_the_layers_are_those_that_are_checked():
    """The layers that the design page draws are those that import-linter checks."""
    page = (ROOT / "docs/design/index.md").read_text()
    drawn = re.search(r"<!-- the layers -->\n```text\n(.*?)```", page, re.DOTALL)
    assert drawn is not None
    checked = pyproject()["tool"]["importlinter"]["contracts"][0]["layers"]
    assert drawn[1].splitlines() == [layer.replace("(", "").replace(")", "") for layer in checked]


def test_the_numbers_of_failures_are_those_that_are_used():
    """Each number in the table of the page on failures is the default of the setting it names."""
    rows = re.findall(
        r"^\| `(\w+)\.(\w+)` \| ([\d.]+) \|$",
        (ROOT / "docs/design/failures.md").read_text(),
        re.MULTILINE,
    )
    homes = {home.__name__: home() for home in (RetryPolicy, HealthPolicy, Timeouts)}
    assert {f"{home}.{name}": float(number) for home, name, number in rows} == {
        f"{home}.{name}": getattr(homes[home], name) for home, name, _ in rows
    }
    assert rows
