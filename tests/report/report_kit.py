"""What tests of reports share: data sets with hostile rows, and how to read a page."""

from __future__ import annotations

import base64
import json
import re
import zlib
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from datasets import Dataset, Features, List, Value

from distilabel.dataset import CustomDataset
from distilabel.timeline import Point, Timeline
from distilabel.types import RunSummary, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

HOSTILE = (
    "<script>globalThis.canary = 1</script><img src=x onerror='globalThis.canary = 1'>",
    "</script><script>globalThis.canary = 1</script>",
    "<!--<script>",
    "\x1b]0;owned\x07 \x1b]8;;http://evil.example/\x07link\x1b]8;;\x07 \x1b[31mred\x9b0m",
    '=HYPERLINK("http://evil.example/","x")',
    "\u202egnp.exe\u202c \u2028 &lt;b&gt; &amp;",
)
_TEXT, _NUMBER = Value("string"), Value("float64")
_CHAT = List({"role": _TEXT, "content": _TEXT})
FEATURES = Features(
    {
        "input": _TEXT,
        "topic": _TEXT,
        "generation_model": List(_TEXT),
        "generation_prompt": List(_CHAT),
        "raw_generation_responses": List(_TEXT),
        "generations": List(_TEXT),
        "labelling_model": _TEXT,
        "labelling_prompt": _CHAT,
        "raw_labelling_response": _TEXT,
        "rating": List(_NUMBER),
        "rationale": List(_TEXT),
    }
)


def rated_row(
    question: str,
    texts: Sequence[str | None],
    ratings: Sequence[float | None],
    *,
    shown: Sequence[int] | None = None,
    model: str = "writer",
    why: str = "because it is so",
) -> dict[str, Any]:
    """A row as a run leaves it; the judge was shown the texts in the order `shown`."""
    order = range(len(texts)) if shown is None else shown
    asked = "\n".join(f"<text>\n{texts[place]}\n</text>" for place in order)
    return {
        "input": question,
        "topic": "any",
        "generation_model": [model] * len(texts),
        "generation_prompt": [[{"role": "user", "content": f"Answer this: {question}"}]]
        * len(texts),
        "raw_generation_responses": list(texts),
        "generations": list(texts),
        "labelling_model": "judge",
        "labelling_prompt": [{"role": "user", "content": f"Rate these for {question}\n{asked}"}],
        "raw_labelling_response": f"Rationale: {why}",
        "rating": list(ratings),
        "rationale": [None if rating is None else why for rating in ratings],
    }


TIMELINE = Timeline(
    ("generator", "labeller"),
    (
        Point(2.0, 10, 20, 400, 300, 1, 0, 1, limits=(8, 4), in_flight=(7.5, 3.0)),
        Point(1.0, 20, 40, 800, 600, 0, 5, 0, limits=(16, 4), in_flight=(15.0, 4.0)),
        Point(4.0, 4, 8, 160, 120, 0, 0, 1, limits=(8, 4), in_flight=(1.0, 1.0)),
    ),
    2.0,
)
"""Two sessions of a run of two stages."""


def dataset_of(
    rows: Sequence[dict[str, Any]],
    features: Features = FEATURES,
    *,
    timeline: Timeline = TIMELINE,
) -> CustomDataset:
    """A data set with what a run says of itself."""
    summary = RunSummary(
        rows=len(rows),
        rows_failed=2,
        failed_by_cause={"context_length": 2},
        calls=2 * len(rows),
        usage=Usage(1_000, 500),
        cost=0.125,
        seconds=61.0,
        timeline=timeline,
    )
    columns = {name: [row.get(name) for row in rows] for name in features}
    return CustomDataset.from_dataset(Dataset.from_dict(columns, features=features), run=summary)


def hostile_rows(total: int, words: int = 60) -> list[dict[str, Any]]:
    """Rows of about so many words a text; every tenth is hostile in all that it holds."""
    rows = []
    for number in range(total):
        bad = HOSTILE[number // 10 % len(HOSTILE)] if number % 10 == 3 else ""
        texts = [
            f"{bad} text {side} of {number}: "
            + " ".join(f"w{number * 31 * n % 997}" for n in range(words))
            for side in "ab"
        ]
        rows.append(
            rated_row(
                f"{bad} question {number}",
                texts,
                [float(number % 5 + 1), None if number % 7 == 0 else 3.0],
                shown=[1, 0] if number % 2 else [0, 1],
                why=f"{bad} reason {number} " + "why " * 20,
            )
            | {"topic": f"id{number}x"}
        )
    return rows


class Page(HTMLParser):
    """A page as a parser of HTML sees it: its elements, and the text of its scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, dict[str, str | None], str]] = []
        self.text = ""
        self._open: tuple[str, dict[str, str | None]] | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, dict(attrs)))
        if tag in {"script", "style"}:
            self._open = (tag, dict(attrs))
            self.raw.append((tag, dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        """Note that a script or style ends."""
        if self._open is not None and tag == self._open[0]:
            self._open = None

    def handle_data(self, data: str) -> None:
        """Note a text."""
        if self._open is None:
            self.text += data
        else:
            tag, attributes, content = self.raw[-1]
            self.raw[-1] = (tag, attributes, content + data)

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the data block."""
        ((kind, block),) = [(a["type"], text) for tag, a, text in self.raw if a.get("id") == "data"]
        if kind == "application/octet-stream":
            block = zlib.decompress(base64.b64decode(block)).decode()
        return unpacked(json.loads(block))


def unpacked(data: dict[str, Any]) -> list[dict[str, Any]]:
    """What page.js reads: rows with their texts in place of references."""

    def read(row: dict[str, Any], value: Any) -> Any:
        if isinstance(value, int):
            return read(row, row["x"][-1 - value] if value < 0 else data["shared"][value])
        return "".join(read(row, each) for each in value) if isinstance(value, list) else value

    return [
        {
            "index": row["i"],
            "input": read(row, row.get("n")),
            "generations": [read(row, each) for each in row.get("g", [])],
            "rating": row.get("r"),
            "rationale": [read(row, each) for each in row.get("w", [])],
            "prompts": [[read(row, text) for _, text in chat or []] for chat in row.get("p", [])],
            "judged": [read(row, text) for _, text in row.get("l", [])],
            "reply": read(row, row.get("k")),
            "errors": [
                (data["names"][stage], data["names"][cause], read(row, message))
                for stage, cause, _, message in row.get("e", [])
            ],
            "others": {data["names"][name]: read(row, value) for name, value in row.get("o", [])},
        }
        for row in data["rows"]
    ]


def section(html: str, key: str) -> str:
    """The HTML of one section."""
    found = re.search(rf'<section id="{key}">(.*?)</section>', html, re.DOTALL)
    assert found is not None
    return found[1]
