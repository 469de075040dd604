"""A report in Chromium: it renders, filters and opens rows, and nothing of a row runs."""

import itertools
import json
import os
import shutil
import subprocess
from contextlib import asynccontextmanager

import aiohttp
import anyio
import pytest
from report_kit import HOSTILE, dataset_of, hostile_rows

from distilabel.report import write_report

pytestmark = pytest.mark.browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_S = 15
ROWS = 5_000


class Tab:
    """A tab that is driven by the DevTools protocol."""

    def __init__(self, socket):
        self._socket = socket
        self._ids = itertools.count(1)
        self.events = []

    async def call(self, method, **parameters):
        """Send a command; its result."""
        number = next(self._ids)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = json.loads((await self._socket.receive()).data)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    async def evaluate(self, expression):
        """The value of an expression in the page."""
        done = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    async def wait_for(self, expression):
        """Look until an expression is true."""
        with anyio.fail_after(PATIENCE_S):
            while not await self.evaluate(expression):  # noqa: ASYNC110 - the browser's state
                await anyio.sleep(0.02)

    async def click(self, selector):
        """A click of the mouse in the middle of an element."""
        box = await self.evaluate(
            f"(() => {{ const e = document.querySelector({selector!r});"
            " e.scrollIntoView({block: 'center', behavior: 'instant'});"
            " const b = e.getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=box[0],
                y=box[1],
                button="left",
                clickCount=1,
            )

    def of(self, *methods):
        """What happened of these kinds."""
        return [event["params"] for event in self.events if event.get("method") in methods]


@asynccontextmanager
async def chromium(place):
    """A browser without a window, and one tab in it."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.fail(f"none of {', '.join(NAMES)} is installed: apt-get install chromium")
    arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    arguments += ["--no-first-run", "--disable-background-networking", "--disable-sync"]
    arguments += ["--remote-debugging-port=0", f"--user-data-dir={place / 'profile'}"]
    process = subprocess.Popen(  # noqa: ASYNC220 - it starts in no time
        [found, *arguments, "about:blank"], stderr=subprocess.DEVNULL
    )
    try:
        noted = anyio.Path(place / "profile" / "DevToolsActivePort")
        with anyio.fail_after(PATIENCE_S):
            while not (await noted.exists() and (await noted.read_text()).count("\n")):  # noqa: ASYNC110
                await anyio.sleep(0.05)
        port = (await noted.read_text()).split()[0]
        async with aiohttp.ClientSession() as session:
            async with session.put(f"http://127.0.0.1:{port}/json/new?about:blank") as reply:
                address = (await reply.json(content_type=None))["webSocketDebuggerUrl"]
            async with session.ws_connect(address, max_msg_size=0) as socket:
                yield Tab(socket)
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def opened(path, place, **emulated):
    """A report in a tab, drawn."""
    async with chromium(place) as tab:
        for domain in ("Network", "Log", "Runtime", "Page"):
            await tab.call(f"{domain}.enable")
        if emulated:
            await tab.call("Emulation.setDeviceMetricsOverride", **emulated)
        await tab.call("Page.navigate", url=path.as_uri())
        await tab.wait_for("Boolean(document.querySelector('#count')?.textContent)")
        yield tab


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of 5,000 rows, every tenth of them hostile."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    written = write_report(dataset_of(hostile_rows(ROWS)), path)
    assert written.size_bytes < 5_000_000
    assert written.rows_in_table == ROWS
    return path


def nothing_went_wrong(tab, path):
    """No error in the console, no exception, no refusal by the policy, no request but the file."""
    assert tab.of("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded") == []
    assert {each["request"]["url"] for each in tab.of("Network.requestWillBeSent")} == {
        path.as_uri()
    }


async def test_5000_rows_render_without_an_error(report, tmp_path):
    """The page draws charts and the first rows, and asks nobody for anything."""
    async with opened(report, tmp_path) as tab:
        assert await tab.evaluate("document.querySelector('#count').textContent") == "5,000 rows"
        assert await tab.evaluate("document.querySelectorAll('tr.row').length") == 25
        assert await tab.evaluate("document.querySelectorAll('svg').length") >= 4
        nothing_went_wrong(tab, report)


async def test_typing_filters_the_rows(report, tmp_path):
    """What is typed into the search box leaves the rows that hold all its words."""
    async with opened(report, tmp_path) as tab:
        await tab.click("#search")
        await tab.call("Input.insertText", text="QUESTION 4321")
        await tab.wait_for("document.querySelector('#count').textContent === '1 row'")
        assert "4321" in await tab.evaluate("document.querySelector('tr.row').textContent")
        nothing_went_wrong(tab, report)


async def test_a_choice_filters_and_orders_the_rows(report, tmp_path):
    """Rows that are rated apart are as many as there are, and the order follows their ratings."""
    async with opened(report, tmp_path) as tab:
        choose = "(() => {{ const e = document.querySelector({!r}); e.value = {!r};"
        choose += " e.dispatchEvent(new Event('change')); }})()"
        await tab.evaluate(choose.format("#show", "apart"))
        rows = hostile_rows(ROWS, words=0)
        apart = [
            r for r in rows if None not in r["rating"] and max(r["rating"]) - min(r["rating"]) >= 2
        ]
        assert (
            await tab.evaluate("document.querySelector('#count').textContent")
            == f"{len(apart):,} rows"
        )
        await tab.evaluate(choose.format("label:last-child select", "best"))
        assert await tab.evaluate("document.querySelector('.row .chip').textContent") == "5"


async def test_a_row_opens_and_shows_its_prompts(report, tmp_path):
    """A click opens a row, whose prompts and raw replies are there when they are asked for."""
    async with opened(report, tmp_path) as tab:
        await tab.click("tr.row .clamp")
        await tab.wait_for("document.querySelectorAll('.detail .card').length === 2")
        assert "because" not in await tab.evaluate("document.querySelector('.detail').textContent")
        titles = await tab.evaluate(
            "[...document.querySelectorAll('.detail summary')].map(e => e.textContent)"
        )
        assert titles == ["Prompt of the generator", "Prompt of judge", "Raw reply of judge"]
        await tab.click(".detail summary")
        await tab.wait_for("document.querySelectorAll('.detail .raw').length === 1")
        asked = await tab.evaluate("document.querySelector('.detail .raw .text').textContent")
        assert asked == "Answer this:  question 0"
        await tab.click("tr.row button")
        await tab.wait_for("document.querySelectorAll('.detail').length === 0")
        nothing_went_wrong(tab, report)


async def test_hostile_rows_are_text(report, tmp_path):
    """Scripts, escape sequences and formulas of rows are shown as signs, and none runs."""
    async with opened(report, tmp_path) as tab:
        shown = {}
        for bad, index in zip(HOSTILE, range(3, 63, 10), strict=True):
            await tab.evaluate(
                f"(() => {{ const s = document.querySelector('#search');"
                f" s.value = 'id{index}x';"
                " s.dispatchEvent(new Event('input')); })()"
            )
            await tab.wait_for(
                f"document.querySelector('tr.row button')?.textContent === '{index}'"
            )
            await tab.evaluate("document.querySelector('tr.row button').click()")
            await tab.evaluate(
                "document.querySelectorAll('.detail details').forEach(d => { d.open = true; })"
            )
            await tab.wait_for("document.querySelectorAll('.detail .raw').length === 3")
            shown[bad] = await tab.evaluate("document.querySelector('.detail').textContent")
        for bad in (HOSTILE[0], HOSTILE[1], HOSTILE[2], HOSTILE[4]):
            assert shown[bad].count(bad) >= 6
        assert "␛]0;owned␇ ␛]8;;http://evil.example/␇link" in shown[HOSTILE[3]]
        assert "⟨202E⟩gnp.exe⟨202C⟩ ⟨2028⟩ &lt;b&gt; &amp;" in shown[HOSTILE[5]]
        assert not set("".join(shown.values())) & {"\x1b", "\x07", "\x9b", "\u202e"}
        assert await tab.evaluate("typeof globalThis.canary") == "undefined"
        assert (
            await tab.evaluate("document.querySelectorAll('img, iframe, a[href^=http]').length")
            == 0
        )
        assert await tab.evaluate("document.querySelectorAll('script').length") == 2
        nothing_went_wrong(tab, report)


async def test_the_policy_refuses_what_a_bug_would_let_through(report, tmp_path):
    """Even HTML that came into the page by force runs nothing and loads nothing."""
    async with opened(report, tmp_path) as tab:
        by_force = (
            "document.body.innerHTML = '<img src=x onerror=alert(1)>'",
            "document.body.setAttribute('onclick', 'globalThis.canary = 1')",
            "document.createElement('script').textContent = 'globalThis.canary = 1'",
        )
        for attempt in by_force:
            refused = f"(() => {{ try {{ {attempt}; return 'done'; }}"
            refused += " catch (e) { return e.name; } })()"
            assert await tab.evaluate(refused) == "TypeError", attempt
        await tab.evaluate(
            "(() => { const s = document.createElement('img'); s.src = 'http://127.0.0.1:9/x';"
            " document.body.append(s); })()"
        )
        await tab.wait_for("document.images[0].complete")
        assert await tab.evaluate("typeof globalThis.canary") == "undefined"
        told = " ".join(each["entry"]["text"] for each in tab.of("Log.entryAdded"))
        assert "Content Security Policy" in told


@pytest.mark.parametrize("width", [400, 1280])
async def test_nothing_is_wider_than_the_window(report, tmp_path, width):
    """At 400 and at 1280 pixels the page does not scroll sideways, with a row open too."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    async with opened(report, tmp_path, **size) as tab:
        await tab.evaluate("document.querySelectorAll('tr.row button')[3].click()")
        await tab.wait_for("document.querySelectorAll('.detail .card').length === 2")
        assert await tab.evaluate("document.documentElement.scrollWidth") <= width
        if folder := os.environ.get("REPORT_SCREENSHOTS"):
            await take_screenshots(tab, anyio.Path(folder), width)


async def take_screenshots(tab, folder, width):
    """For people to look at, by light and in the dark."""
    import base64

    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await tab.call("Emulation.setEmulatedMedia", features=features)
        shot = await tab.call("Page.captureScreenshot", captureBeyondViewport=True)
        await (folder / f"report-{width}-{scheme}.png").write_bytes(base64.b64decode(shot["data"]))
