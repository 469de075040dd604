"""`distilabel doctor`: what would keep a run from working on this machine, and how to mend it.

Rules:

- A check never raises: what it finds is a `Finding`. Only what is wrong makes the exit code 1.
- Keys are looked at, and never shown. One is sent to the server alone that it belongs to, for a
  list of models, which costs nothing; servers are asked only if they are named.
- What is written to try the disk is taken away again.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import sqlite3
import sys
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from importlib import metadata
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from distilabel import __version__
from distilabel.cli.models import ModelSettings, key_of, parse_model
from distilabel.errors import ConfigurationError
from distilabel.runs.listing import root_or_default
from distilabel.untrusted import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["Finding", "examine", "write_findings"]

_KEYS: Final = {
    "OPENAI_API_KEY": "openai: models need it",
    "HF_TOKEN": "endpoint: models and push hub need it",
    "ARGILLA_API_KEY": "push argilla needs it",
}
_ROOM_MIN_BYTES: Final = 100 * 2**20
_ROOM_LOW_BYTES: Final = 2**30
_FSYNC_SLOW_S: Final = 0.1
_DESCRIPTORS_MIN: Final = 64
_DESCRIPTORS_LOW: Final = 1_024
_TIMEOUT_S: Final = 5.0
_REPLY_BYTES_MAX: Final = 4 * 2**20
_REQUIRED: Final = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*>=\s*([0-9.]+)\s*$")
_FAILED: Final = frozenset({"failed", "updateFailed"})
_ASLEEP: Final = frozenset({"paused", "scaledToZero"})
_OPENAI_URL: Final = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look has found."""

    state: Literal["ok", "note", "wrong"]
    what: str
    """A word: "key", "disk", …"""
    text: str
    remedy: str = ""
    """How to mend it; "" if there is nothing to mend."""


def examine(models: Iterable[ModelSettings], root: Path | None) -> Iterator[Finding]:
    """Look at everything, one thing after another.

    Args:
        models: the models whose servers are asked. What is found of one that two models use is
            told once.
        root: where runs are to be; None: where they are by default.
    """
    yield from _versions()
    yield from _keys()
    yield from _disk(root_or_default(root))
    yield _descriptors()
    told: set[Finding] = set()
    for settings in models:
        for finding in _server(settings):
            if finding not in told:
                yield finding
            told.add(finding)


def write_findings(findings: Iterable[Finding]) -> bool:
    """Write each to standard output as it is found; whether nothing is wrong."""
    is_well = True
    for each in findings:
        is_well = is_well and each.state != "wrong"
        line = f"{each.state:<6}{each.what:<10}{one_line(each.text, characters_max=500)}"
        sys.stdout.write(f"{line}\n")
        if each.remedy:
            sys.stdout.write(f"{'':<16}-> {one_line(each.remedy, characters_max=500)}\n")
        sys.stdout.flush()
    return is_well


def _versions() -> Iterator[Finding]:
    python = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding("ok", "version", f"distilabel {__version__}, Python {python}")
    shown: list[str] = []
    for requirement in metadata.requires("distilabel") or ():
        if (match := _REQUIRED.match(requirement)) is None:
            continue
        name, least = match.groups()
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding("wrong", "version", f"{name} is not installed", f"pip install {name}")
            continue
        shown.append(f"{name} {found}")
        if _numbers(found) < _numbers(least):
            text = f"{name} {found} is older than {least}"
            yield Finding("wrong", "version", text, f"pip install -U '{name}>={least}'")
    yield Finding("ok", "version", ", ".join([*shown, f"SQLite {sqlite3.sqlite_version}"]))


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with.

    >>> _numbers("3.14.1rc2"), _numbers("2026.9")
    ((3, 14, 1), (2026, 9))
    """
    leading = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(int(part) for part in leading[0].split(".")) if leading else ()


def _keys() -> Iterator[Finding]:
    for name, use in _KEYS.items():
        value = os.environ.get(name)
        if not value:
            yield Finding("note", "key", f"{name} is not set; {use}")
        elif value != value.strip() or not value.isprintable() or " " in value:
            text = f"{name} holds a space or a line break, which no key does"
            yield Finding("wrong", "key", text, f"set {name} again, without quotes or line breaks")
        else:
            yield Finding("ok", "key", f"{name} is set")


def _disk(root: Path) -> Iterator[Finding]:
    place = root.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    elsewhere = "choose another place: DISTILABEL_RUNS=/path, or --checkpoint-dir"
    try:
        free = shutil.disk_usage(place).free
        took_s = _try_to_write(place)
    except OSError as error:
        text = f"runs cannot be kept in {root}: {error.strerror or error}"
        yield Finding("wrong", "disk", text, elsewhere)
        return
    room = f"{free / 2**30:.1f} GB free in {place}"
    if free < _ROOM_MIN_BYTES:
        yield Finding("wrong", "disk", room, f"make room, or {elsewhere}")
    else:
        yield Finding("ok" if free >= _ROOM_LOW_BYTES else "note", "disk", room)
    speed = f"runs are kept in {root}; a write is on disk after {took_s * 1e3:.1f} ms"
    if took_s > _FSYNC_SLOW_S:
        yield Finding("note", "disk", f"{speed}, which is slow", f"a local disk; {elsewhere}")
    else:
        yield Finding("ok", "disk", f"{speed}, and files can be locked")


def _try_to_write(place: Path) -> float:
    """Write, fsync and lock a file as a journal does; the seconds of a write.

    Raises:
        OSError: one of them cannot be done.
    """
    with tempfile.TemporaryFile(dir=place) as file:
        file.write(b"\0" * 4_096)
        file.flush()
        started_s = time.perf_counter()
        os.fsync(file.fileno())
        took_s = time.perf_counter() - started_s
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    return took_s


def _descriptors() -> Finding:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= _DESCRIPTORS_LOW:
        return Finding("ok", "files", f"{soft:,} file descriptors: as many connections, less 50")
    state: Literal["note", "wrong"] = "wrong" if soft < _DESCRIPTORS_MIN else "note"
    limit = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    text = f"{soft:,} file descriptors bound the requests at once"
    return Finding(state, "files", text, f"ulimit -n {limit}")


def _server(settings: ModelSettings) -> Iterator[Finding]:
    try:
        named = parse_model(settings.model)
        key = key_of(settings)
    except ConfigurationError as error:
        yield Finding("wrong", "model", str(error))
        return
    if named.kind == "endpoint":
        yield _endpoint(named.name, None if key is None else key.get_secret_value())
        return
    url = (named.base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI_URL).rstrip("/")
    secret = os.environ.get("OPENAI_API_KEY", "") if key is None else key.get_secret_value()
    connection = _connection(url)
    if connection is None:
        text = "the server's URL is none, or holds a key"
        yield Finding("wrong", "server", text, "a URL such as http://127.0.0.1:8000/v1")
    elif url == _OPENAI_URL and not secret:
        yield Finding("wrong", "key", "OpenAI needs a key", "export OPENAI_API_KEY=…")
    else:
        yield _models(connection, url, named.name, secret)


def _connection(url: str) -> HTTPConnection | None:
    """A connection to be, which is not made yet; None: that is no URL of a server."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or parts.username or parts.scheme not in {"http", "https"}:
        return None
    make = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return make(host, port, timeout=_TIMEOUT_S)


def _models(connection: HTTPConnection, url: str, model: str, secret: str) -> Finding:
    """Ask a server for its models."""
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    try:
        with closing(connection):
            connection.request("GET", f"{urlsplit(url).path}/models", headers=headers)
            reply = connection.getresponse()
            status, body = reply.status, reply.read(_REPLY_BYTES_MAX)
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        remedy = "start the server, or look at the address, the network and proxies"
        return Finding("wrong", "server", f"{url} cannot be reached: {reason}", remedy)
    if status in {401, 403}:
        text = f"{url} refuses the key (status {status})"
        return Finding("wrong", "key", text, "set the key of that server, see key_env")
    if status >= 500:
        return Finding("wrong", "server", f"{url} answers with status {status}", "try again later")
    if status == 200 and _lists_others(body, model):
        text = f"{url} is there, and has no model {model!r} in its list"
        return Finding("note", "model", text, "look at the model's name")
    return Finding("ok", "server", f"{url} is there" + " and takes the key" * bool(secret))


def _lists_others(body: bytes, model: str) -> bool:
    """Whether it is a list of models without this one."""
    import msgspec

    with suppress(msgspec.MsgspecError, TypeError, KeyError, AttributeError):
        listed = msgspec.json.decode(body)["data"]
        names = {each.get("id") for each in listed}
        return bool(names) and model not in names
    return False


def _endpoint(name: str, token: str | None) -> Finding:
    """Ask the hub for an endpoint: its own client, which has no timeout, under a deadline."""
    from threading import Thread

    found: list[Finding] = []

    def ask() -> None:
        from huggingface_hub import get_inference_endpoint

        namespace, _, short = name.rpartition("/")
        try:
            endpoint = get_inference_endpoint(short, namespace=namespace or None, token=token)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            found.append(_not_seen(name, error))
        else:
            found.append(_as_it_is(name, str(endpoint.status)))

    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(2 * _TIMEOUT_S)
    late = Finding("wrong", "server", "the hub does not answer", "look at the network and proxies")
    return found[0] if found else late


def _not_seen(name: str, error: Exception) -> Finding:
    """Why the hub does not show an endpoint."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in {401, 403}:
        text = f"the hub refuses the token for the endpoint {name} (status {status})"
        remedy = "set HF_TOKEN to a token that may read this namespace's Inference Endpoints"
        return Finding("wrong", "key", text, remedy)
    if status == 404:
        text = f"there is no endpoint {name}, or HF_TOKEN may not see it"
        remedy = "look at its namespace and name on the hub: -m endpoint:NAMESPACE/NAME"
        return Finding("wrong", "model", text, remedy)
    reason = type(error).__name__ if status is None else f"status {status}"
    remedy = "look at HF_TOKEN, the network and proxies; else try again later"
    return Finding("wrong", "server", f"the hub does not tell of {name}: {reason}", remedy)


def _as_it_is(name: str, status: str) -> Finding:
    """What the state of an endpoint means for a run."""
    text = f"the endpoint {name} is {status}"
    if status in _FAILED:
        remedy = "look at its log on the hub, mend what it says, and start it there"
        return Finding("wrong", "server", text, remedy)
    if status in _ASLEEP:
        remedy = "nothing to do: a run starts it and waits; it is billed from then on"
        return Finding("note", "server", text, remedy)
    if status != "running":
        return Finding("note", "server", text, "nothing to do: a run waits until it is up")
    return Finding("ok", "server", text)
