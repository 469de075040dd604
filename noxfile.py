"""The checks, a session each: `nox` runs what must hold for every commit, `nox -l` lists all."""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False  # `matrix` takes what is installed
nox.options.stop_on_first_error = False
nox.options.sessions = ["lint", "typing", "tests", "argilla", "wheel", "docs"]

ROOT = Path(__file__).parent
DIST = ROOT / "dist"
ARGILLA_SERVER = "argilla-server==2.8.0"
# A process a core, four at most: tests also start processes of their own.
IN_PARALLEL = ("-n", "auto", "--maxprocesses", "4", "--dist", "worksteal")
SECOND_TRY = ("--reruns", "1")  # for few tests, and told at the end: see tests/conftest.py
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")


def install_group(session: nox.Session, group: str, *more: str) -> None:
    """Install a dependency group of pyproject.toml, and `more`."""
    session.install(*more, *nox.project.dependency_groups(PYPROJECT, group))


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting, and who may import whom."""
    install_group(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": "src"})


@nox.session
def typing(session: nox.Session) -> None:
    """Strict mypy and strict pyright, on the package and on the tests of its public types."""
    install_group(session, "typing", "-e", ".")
    session.run("mypy")
    session.run("pyright")


def run_tests(session: nox.Session, *arguments: str) -> None:
    """Run pytest under coverage of branches; warnings are errors (see pyproject.toml)."""
    install_group(session, "test", "-e", ".")
    session.run("coverage", "erase")
    session.run(
        "coverage", "run", "-m", "pytest", *IN_PARALLEL, *SECOND_TRY, *arguments, *session.posargs
    )
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def tests(session: nox.Session) -> None:
    """All tests but the campaigns, on the Python that runs nox. Arguments after -- go to pytest."""
    run_tests(session)


@nox.session(python=["3.11", "3.12", "3.13"])
def matrix(session: nox.Session) -> None:
    """The same tests on every supported Python that is installed."""
    run_tests(session)


@nox.session
def soak(session: nox.Session) -> None:
    """The campaigns: tests that are longer than a run for every commit should be."""
    install_group(session, "test", "-e", ".")
    session.run("pytest", "-m", "campaign", "--timeout", "3600", *session.posargs)


@nox.session
def crash(session: nox.Session) -> None:
    """Kills, deaths at failpoints, signals, rival processes: the tables of docs/reliability.md."""
    install_group(session, "test", "-e", ".")
    is_named = any(argument.startswith("tests/") for argument in session.posargs)
    places = session.posargs if is_named else ["tests/campaigns/crash", *session.posargs]
    session.run("pytest", "-m", "campaign", "-s", "--timeout", "3600", *places)


def run_campaign(session: nox.Session, place: str) -> None:
    """One campaign, the short forms and the full ones, as its tables count both."""
    install_group(session, "test", "-e", ".")
    session.run("pytest", "-m", "", "-s", "--timeout", "7200", place, *session.posargs)


def need_strace(session: nox.Session) -> None:
    """Campaigns that record or break system calls need it; without it they would all be skipped."""
    if shutil.which("strace") is None:
        session.error("this needs strace: apt-get install strace")


@nox.session
def money(session: nox.Session) -> None:
    """What providers bill against `max_cost`: the table of docs/reliability.md."""
    run_campaign(session, "tests/campaigns/money")


@nox.session
def storms(session: nox.Session) -> None:
    """Half an hour of 429 in every form, outages, and replies that break off at every byte."""
    run_campaign(session, "tests/campaigns/storms")


@nox.session
def power(session: nox.Session) -> None:
    """Power cuts, replayed from the system calls of a run."""
    need_strace(session)
    run_campaign(session, "tests/campaigns/power")


@nox.session
def disk(session: nox.Session) -> None:
    """Full and broken disks: each system call that can fail, fails. As root also small disks."""
    need_strace(session)
    run_campaign(session, "tests/campaigns/disk")


@nox.session
def model(session: nox.Session) -> None:
    """Histories of runs that fail, stop, die and change, against a model of what must be kept."""
    run_campaign(session, "tests/campaigns/model")


@nox.session
def security(session: nox.Session) -> None:
    """Canary keys, hostile files, and what the source must not call; these run with `tests` too."""
    install_group(session, "test", "-e", ".")
    session.run("pytest", "tests/security", "tests/llm/test_secrets.py", *session.posargs)


@nox.session
def training(session: nox.Session) -> None:
    """TRL's trainers take the exports. Installs torch: from PyPI that is a few GB, hence not in CI.

    An environment in `.nox/training` that has torch already (its CPU build, say) keeps it.
    """
    install_group(session, "training", "-e", ".")
    session.run("pytest", "tests/training", *session.posargs)


@nox.session
def argilla(session: nox.Session) -> None:
    """Pushes to a real Argilla server on SQLite, installed in an environment of its own."""
    install_group(session, "test", "uv", "-e", ".")
    home = Path(session.virtualenv.location, "argilla-server")  # its pins do not meet ours
    python = home / "bin" / "python"
    if not python.exists():
        session.run("uv", "venv", "--quiet", "--python", f"{session.bin}/python", str(home))
    session.run("uv", "pip", "install", "--quiet", "--python", str(python), ARGILLA_SERVER)
    places = session.posargs or ["tests/argilla"]
    server = {"ARGILLA_SERVER_PYTHON": str(python)}
    session.run("pytest", *SECOND_TRY, "-m", "argilla", "--durations", "3", *places, env=server)


@nox.session
def browser(session: nox.Session) -> None:
    """Reports in Chromium: they render, filter and open rows, and nothing of a row runs."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    if not any(map(shutil.which, names)):
        session.error("this needs Chromium or Chrome: apt-get install chromium")
    install_group(session, "test", "-e", ".")
    session.run("pytest", "-m", "browser", "tests/report", *session.posargs)


@nox.session
def pictures(session: nox.Session) -> None:
    """Make docs/images anew: the demo in a terminal, a report in a browser."""
    if not all(map(shutil.which, ("tmux", "chromium"))):
        session.error("this needs tmux and Chromium: apt-get install tmux chromium")
    session.install("-e", ".")
    session.run("python", str(ROOT / "docs" / "images" / "make.py"))


@nox.session
def bench(session: nox.Session) -> None:
    """One table of clients and peers. `-- --full` for all of it, `-- --check` to fail on a target.

    Another program of benchmarks/ runs by its name: `nox -s bench -- scaling --full`.
    """
    install_group(session, "test", "uv", "-e", ".")  # uv makes the environments of the peers
    program, *arguments = session.posargs or ["compare"]
    if program.startswith("-"):
        program, arguments = "compare", session.posargs
    session.run("python", str(ROOT / "benchmarks" / f"{program}.py"), *arguments)


@nox.session
def build(session: nox.Session) -> None:
    """Build the source distribution, and from it the wheel, into dist/."""
    install_group(session, "build")
    shutil.rmtree(DIST, ignore_errors=True)
    session.run("python", "-m", "build", "--installer", "uv", "--outdir", str(DIST))


@nox.session(requires=["build"], reuse_venv=False)
def wheel(session: nox.Session) -> None:
    """The wheel, installed alone in an environment of its own, used from outside the checkout."""
    (built,) = DIST.glob("*.whl")
    session.install(str(built))
    session.chdir(session.create_tmp())
    session.run("python", "-I", str(ROOT / "tests/house/import_paths.py"))
    session.run("distilabel", "--version")
    session.run("distilabel", "demo", "--rows", "8", "--latency-median", "0.1")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    install_group(session, "docs", ".")
    output = ROOT / "docs" / "_build" / "html"
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-E", str(ROOT / "docs"), str(output))
    session.log(f"built {output / 'index.html'}")
