"""One table: this library, OpenAI's own client, a bare aiohttp loop, and three peers.

Every client runs in a process of its own, the peers in environments of their own, against one
simulated endpoint, also in a process of its own. See `clients/_protocol.py` for what the clock, the
CPU and the memory include, and `clients/` for what each client does.

- in flight: the most requests under way at once, in each stage.
- one stage: a text for each row. Two: two texts by one request, then a judge rates them.
- CPU: per row, in user and kernel mode; "x bare" is its ratio to the bare loop's.
- first row: when the caller had it. What returns everything at the end has it at the end.
- x ideal: wall time over that of a perfect client on the endpoint's own draws (see `ideal.py`).
- memory: the peak resident set, imports included.
- endpoint: its CPU time over the client's wall time; near 100 % it was the endpoint that was slow,
  and then rows/s says little (CPU per row is not touched by it).

The clients take turns. Of several rounds the least CPU counts, and for the rest the round with the
least wall time, as whatever else runs on the machine can only add. Compare figures of one run only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from rich.console import Console
from rich.table import Table

from _environments import BuildError, interpreter, versions
from _jobs import CLIENTS, OWN_PYTHON, PEERS, Client, Outcome, Setting, run_client
from _machine import describe
from distilabel.testing import SimulatedEndpoint

_ROOT = Path(__file__).parents[1]
_WIDTH = 126
_HEAD = ("client", "rows", "rows/s", "CPU", "x bare", "first row", "x ideal", "memory", "endpoint")
_REFERENCE = 512
"""In flight, where the peers are measured, too."""
_ROWS, _ROWS_OF_PEERS, _ROUNDS = 4096, 2048, 3
_BARE_MAX, _OPENAI_MIN, _IDEAL_MAX = 2.5, 8, 1.05
_BUSY = 0.9

Blocks = dict[Setting, dict[str, Outcome]]


def main() -> None:
    options = _options()
    console = Console(width=_WIDTH, highlight=False)
    pythons, problems = _environments(options, console)
    machine = [describe(), *_provenance(pythons, options)]
    console.print("\n".join(machine))
    blocks = {
        setting: _measure(setting, pythons, problems, options, console)
        for setting in _settings(options)
    }
    machine.append(f"load average at the end: {os.getloadavg()[0]:.1f}")
    console.print(_table(blocks))
    console.print(machine[-1])
    verdicts = _verdicts(blocks)
    for text, is_met in verdicts:
        console.print(f"{'met' if is_met else 'MISSED'}: {text}")
    if options.markdown:
        Path(options.markdown).write_text(_markdown(blocks, machine, verdicts), encoding="utf-8")
    if options.check and not all(is_met for _, is_met in verdicts):
        sys.exit("a target was missed")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [client.name for client in (*CLIENTS, *PEERS)]
    parser.add_argument("--full", action="store_true", help="every client in every setting")
    parser.add_argument("--check", action="store_true", help="fail if a target is missed")
    parser.add_argument("--clients", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[64, 512, 1000])
    parser.add_argument("--medians", type=float, nargs="+", default=[0.0, 0.5], help="seconds")
    parser.add_argument("--sigma", type=float, default=0.6, help="how scattered they are (0.6)")
    parser.add_argument("--seed", type=int, default=1, help="of the latencies (1)")
    parser.add_argument("--stages", type=int, nargs="+", choices=[1, 2], default=[1, 2])
    parser.add_argument("--rows", type=int, help="for every client, instead of the usual number")
    parser.add_argument("--rounds", type=int, help="3 without latency and in one stage, else 1")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for a client (300)")
    parser.add_argument("--markdown", help="write the table to this file, too")
    parser.add_argument(
        "--environments",
        type=Path,
        default=_ROOT / ".nox" / ".cache" / "peers",
        help="where the peers' environments are kept (.nox/.cache/peers)",
    )
    return parser.parse_args()


def _environments(
    options: argparse.Namespace, console: Console
) -> tuple[dict[str, Path], dict[str, str]]:
    """The Python of each client that can run, and why the others cannot."""
    pythons = {client.name: OWN_PYTHON for client in CLIENTS if client.name in options.clients}
    problems: dict[str, str] = {}
    for peer in PEERS:
        if peer.name in options.clients:
            console.print(f"the environment of {peer.name} …")
            try:
                pythons[peer.name] = interpreter(peer.requirements, options.environments)
            except BuildError as error:
                problems[peer.name] = f"cannot be installed: {error}"
    return pythons, problems


def _provenance(pythons: dict[str, Path], options: argparse.Namespace) -> list[str]:
    """The peers' versions, the commit, the day and the command."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    peers = [
        versions(pythons[peer.name], peer.requirements) for peer in PEERS if peer.name in pythons
    ]
    day = datetime.now(tz=UTC).date().isoformat()
    latency = f"latencies lognormal, sigma {options.sigma:g}, seed {options.seed}"
    return [
        ", ".join(peers) or "no peers",
        f"{day}, commit {commit.stdout.strip() or 'unknown'}, {latency}",
        f"python benchmarks/compare.py {' '.join(sys.argv[1:])}".strip(),
    ]


def _settings(options: argparse.Namespace) -> list[Setting]:
    every = product(options.medians, options.stages, options.in_flight)
    return [
        Setting(median_s, options.sigma, options.seed, in_flight, stages)
        for median_s, stages, in_flight in every
        if options.full or stages == 1 or in_flight == _REFERENCE or len(options.in_flight) == 1
    ]


def _measure(
    setting: Setting,
    pythons: dict[str, Path],
    problems: dict[str, str],
    options: argparse.Namespace,
    console: Console,
) -> dict[str, Outcome]:
    is_quick = not setting.median_s and setting.stages == 1
    rounds = options.rounds or (_ROUNDS if is_quick else 1)
    best: dict[str, Outcome] = {}
    with SimulatedEndpoint.process(latency=setting.latency, ledger="counters") as endpoint:
        for turn in range(rounds):
            for client in _turn(setting, options, turn):
                rows = options.rows or _rows(setting, client)
                if client.name in problems:
                    best[client.name] = Outcome(rows, problem=problems[client.name])
                    continue
                outcome = run_client(
                    client, pythons[client.name], endpoint, setting, rows, options.timeout
                )
                console.print(f"{setting}: {', '.join(_cells(client.name, setting, outcome))}")
                known = best.get(client.name, outcome)
                best[client.name] = known.better(outcome)
    return best


def _turn(setting: Setting, options: argparse.Namespace, turn: int) -> list[Client]:
    """Who runs in this round. The peers run once, and by default at one concurrency."""
    with_peers = options.full or setting.in_flight == _REFERENCE or len(options.in_flight) == 1
    everybody = CLIENTS + (PEERS if with_peers and turn == 0 else ())
    return [client for client in everybody if client.name in options.clients]


def _rows(setting: Setting, client: Client) -> int:
    """Enough for eight round trips of each permit, and fewer where a row is two calls or slow."""
    if setting.median_s:
        return min(8 * setting.in_flight, _ROWS) // setting.stages
    return (_ROWS_OF_PEERS if client.is_peer else _ROWS) // setting.stages


def _cells(name: str, setting: Setting, outcome: Outcome, bare_ms: float = 0.0) -> list[str]:
    report = outcome.report
    if report is None:
        return [name, f"{outcome.rows:,}", outcome.problem]
    ideal_s = setting.ideal_s(outcome.rows) if setting.median_s else 0.0
    calls = outcome.calls / outcome.rows
    surplus = f" ({calls:.0f} calls a row)" if calls > setting.stages + 0.5 else ""
    return [
        name + surplus,
        f"{outcome.rows:,}",
        f"{outcome.rows / report.wall_s:,.0f}",
        f"{outcome.cpu_ms:.2f} ms",
        f"{outcome.cpu_ms / bare_ms:.1f}" if bare_ms else "-",
        f"{report.first_row_s:.2f} s",
        f"{report.wall_s / ideal_s:.2f}" if ideal_s else "-",
        f"{report.memory_mb:.0f} MB",
        f"{outcome.endpoint_share:.0%}" + ("!" if outcome.endpoint_share > _BUSY else ""),
    ]


def _block(setting: Setting, outcomes: dict[str, Outcome]) -> list[list[str]]:
    bare = outcomes.get("bare aiohttp")
    bare_ms = bare.cpu_ms if bare and bare.report else 0.0
    return [_cells(name, setting, outcome, bare_ms) for name, outcome in outcomes.items()]


def _table(blocks: Blocks) -> Table:
    table = Table()
    for title in _HEAD:
        is_first = title == "client"
        table.add_column(
            title, justify="left" if is_first else "right", no_wrap=is_first, overflow="fold"
        )
    for setting, outcomes in blocks.items():
        table.add_section()
        table.add_row(f"[bold]{setting}[/bold]")
        for cells in _block(setting, outcomes):
            table.add_row(*cells)
    return table


def _verdicts(blocks: Blocks) -> list[tuple[str, bool]]:
    """What the library promises of one stage, and whether this run showed it."""
    found: list[tuple[str, bool]] = []
    for setting, outcomes in blocks.items():
        ours = outcomes.get("generate")
        if setting.stages != 1 or ours is None or ours.report is None:
            continue
        floor, by_hand = outcomes.get("bare aiohttp"), outcomes.get("AsyncOpenAI")
        if floor and floor.report:
            ratio = ours.cpu_ms / floor.cpu_ms
            found.append(
                (
                    f"{setting}: CPU of generate {ratio:.2f} x bare aiohttp, at most {_BARE_MAX}",
                    ratio <= _BARE_MAX,
                )
            )
        if by_hand and by_hand.report and setting.in_flight == _REFERENCE:
            ratio = by_hand.cpu_ms / ours.cpu_ms
            found.append(
                (
                    f"{setting}: CPU of AsyncOpenAI {ratio:.1f} x generate, at least {_OPENAI_MIN}",
                    ratio >= _OPENAI_MIN,
                )
            )
        if setting.median_s and setting.in_flight == _REFERENCE:
            ratio = ours.report.wall_s / setting.ideal_s(ours.rows)
            found.append(
                (
                    f"{setting}: generate took {ratio:.3f} x ideal, at most {_IDEAL_MAX}",
                    ratio <= _IDEAL_MAX,
                )
            )
    return found


def _markdown(blocks: Blocks, machine: list[str], verdicts: list[tuple[str, bool]]) -> str:
    blank = [""] * len(_HEAD)
    rows = [list(_HEAD), ["---"] + ["--:"] * (len(_HEAD) - 1)]
    for setting, outcomes in blocks.items():
        rows += [[f"**{setting}**"], *_block(setting, outcomes)]
    table = [f"| {' | '.join((cells + blank)[: len(_HEAD)])} |" for cells in rows]
    found = [f"- {'met' if is_met else '**missed**'}: {text}" for text, is_met in verdicts]
    return "\n".join(["```", *machine, "```", "", *table, "", *found]) + "\n"


if __name__ == "__main__":
    main()
