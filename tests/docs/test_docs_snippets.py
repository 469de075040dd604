"""Every Python snippet of the README and of the documentation runs, as it stands there.

- The snippets of a page run one after another, in one namespace, as a reader would run them.
- `await` may stand at top level, as in a notebook.
- What a reader would set up is set up here: keys and addresses, which lead to a simulated provider.
- Comments that begin with ``# ->`` are what a snippet prints.
"""

import ast
import asyncio
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from distilabel.testing import HubEndpoint, SimRequest, SimulatedEndpoint

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = [
    path
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if FENCE.search(path.read_text())
]


class Snippet(NamedTuple):
    """One block of code."""

    line: int
    code: str

    @property
    def prints(self) -> list[str]:
        """What it says that it prints."""
        return [line[4:].strip() for line in self.code.splitlines() if line.startswith("# ->")]


def snippets(page: Path) -> list[Snippet]:
    """The blocks of a page, in order."""
    text = page.read_text()
    return [Snippet(text.count("\n", 0, each.start(1)), each[1]) for each in FENCE.finditer(text)]


def judge_or_write(request: SimRequest) -> str | list[str]:
    """What a model would say: a rating for each text if it is asked for ratings, else answers."""
    texts = re.findall(r"^#### Output for Text (\d+)", request.prompt, re.MULTILINE)
    if not texts:
        return [f"An answer, number {request.index}.{k}." for k in range(request.n)]
    return "\n\n".join(
        f"#### Output for Text {number}\nRating: {max(1, 5 - int(number))}\nRationale: It answers."
        for number in texts
    )


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SimulatedEndpoint]:
    """A provider that the environment leads to, from an empty folder."""
    import huggingface_hub.constants

    endpoints = [HubEndpoint(name="notus-7b-v1", namespace="my-team")]
    with SimulatedEndpoint(reply=judge_or_write, endpoints=endpoints) as endpoint:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-docs")
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.openai_url)
        monkeypatch.setenv("HF_TOKEN", "hf_of_the_docs")
        monkeypatch.setattr(
            huggingface_hub.constants, "INFERENCE_ENDPOINTS_ENDPOINT", endpoint.endpoints_url
        )
        monkeypatch.chdir(tmp_path)
        yield endpoint


def run(snippet: Snippet, page: Path, namespace: dict) -> None:
    """Run one block; lines of a traceback are those of the page."""
    code = compile(
        "\n" * snippet.line + snippet.code,
        str(page),
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        dont_inherit=True,
    )
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(code, namespace))  # noqa: S307
    else:
        exec(code, namespace)  # noqa: S102


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_snippets_of_a_page_run(page, capsys, caplog):
    """The snippets of a page run in order, print what the page says, and have no row that fails."""
    namespace = {"__name__": f"snippets of {page.name}"}
    for snippet in snippets(page):
        run(snippet, page, namespace)
        printed = capsys.readouterr().out.splitlines()
        assert not snippet.prints or printed == snippet.prints, f"{page}:{snippet.line}"
    assert [record.getMessage() for record in caplog.records if record.name == "distilabel"] == []


def test_a_backend_of_your_own_is_short():
    """The backend that the page writes takes under 15 lines, imports and blank lines counted."""
    page = ROOT / "docs" / "backends.md"
    own = next(each for each in snippets(page) if "(LLM)" in each.code)
    assert len(own.code.splitlines()) < 15


def test_no_code_is_hidden_from_these_tests():
    """Blocks are Python that is run, or of a kind that is not Python, so that none is left out."""
    kinds = {"", "python", "sh", "text", "yaml", "json", "{eval-rst}", "{toctree}"}
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        blocks = re.findall(r"^[ \t]*```+(.*)$", page.read_text(), re.MULTILINE)
        assert set(map(str.strip, blocks)) <= kinds, page


def test_pages_have_snippets():
    """The pages that teach have code that is run."""
    assert {"README.md", "quickstart.md", "guide.md", "backends.md", "tasks.md", "testing.md"} <= {
        page.name for page in PAGES
    }
