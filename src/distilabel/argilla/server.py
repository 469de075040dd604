"""An Argilla server, through the client of the package `argilla`; the one file that imports it.

- Who logs in: a client that is given; else the address and key that are given; else a client that
  the program made before (`rg.Argilla(…)`); else `ARGILLA_API_URL` and `ARGILLA_API_KEY`.
- A client made here is closed at the end, and does not become the program's default client.
- Requests go over the client's own HTTP session, with its key, its time limit (60 s unless it was
  made with another) and its retries of failed connects. On top of that, a batch of records is sent
  up to three times if the connection breaks or the server says 429, 502, 503 or 504: it is put by
  id, so that twice is as good as once. Nothing else is sent twice.
- What the client raises is not kept as a cause, for its frames and requests hold the key.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from distilabel.argilla.layout import Settings
from distilabel.errors import (
    ArgillaError,
    ConfigurationError,
    MissingDependencyError,
    MissingKeyError,
)
from distilabel.untrusted import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

__all__ = ["BATCH_RECORDS", "ArgillaServer", "hidden", "log_in"]

BATCH_RECORDS: Final = 256
"""Records sent or fetched in one request."""
_DEFAULT_URL: Final = "http://localhost:6900"
_TIMEOUT_S: Final = 60
_CONNECT_RETRIES: Final = 2
_TRIES: Final = 3
_PAUSE_S: Final = 1.0
_WORTH_ANOTHER_TRY: Final = frozenset({429, 502, 503, 504})


def hidden(key: str | SecretStr | None) -> SecretStr | None:
    """A key that was given, without the white space around it, as no traceback shows it."""
    return SecretStr(key.strip()) if isinstance(key, str) else key


@contextmanager
def log_in(
    *, api_url: str | None = None, api_key: SecretStr | None = None, client: Any = None
) -> Generator[ArgillaServer]:
    """The server, for the length of a `with` block.

    Args:
        api_url: its address.
        api_key: a user's key there.
        client: an `argilla.Argilla`, in place of both.

    Raises:
        MissingDependencyError: the package `argilla` is not installed.
        MissingKeyError: there is no key.
        ArgillaError: the server is not there, is no Argilla server, or does not take the key.
    """
    rg = _argilla()
    if client is None and api_url is None and api_key is None:
        client = getattr(rg.Argilla, "_default_client", None)
    if client is not None:
        yield ArgillaServer(client.http_client)
        return
    own = _new_client(rg, api_url, api_key)
    try:
        yield ArgillaServer(own.http_client)
    finally:
        own.http_client.close()


def _argilla() -> Any:
    try:
        import argilla  # 1.1 s
    except ImportError as error:
        raise MissingDependencyError("argilla", needed_for="Argilla", extra="argilla") from error
    return argilla


def _new_client(rg: Any, api_url: str | None, api_key: SecretStr | None) -> Any:
    url = api_url or os.environ.get("ARGILLA_API_URL") or _DEFAULT_URL
    key = api_key or hidden(os.environ.get("ARGILLA_API_KEY"))
    _check_key(key)
    default, failure = rg.Argilla._default_client, None  # noqa: SLF001
    client = rg.Argilla.__new__(rg.Argilla)  # apart from its login, so that it can be closed
    try:
        rg.Argilla.__init__(
            client,
            api_url=url,
            api_key=key.get_secret_value() if key else None,
            timeout=_TIMEOUT_S,
            retries=_CONNECT_RETRIES,
        )
    except Exception as error:  # noqa: BLE001  # told below, without frames that hold the key
        failure = _login_failure(error, url)
        if hasattr(client, "http_client"):
            client.http_client.close()
    finally:
        rg.Argilla._set_default(default)  # noqa: SLF001
    if failure is not None:
        raise failure
    return client


def _check_key(key: SecretStr | None) -> None:
    if not key or not key.get_secret_value():
        raise MissingKeyError(
            "Argilla needs a key and was given none. Log in with argilla.Argilla(api_url=…, "
            "api_key=…), pass api_key=, or set ARGILLA_API_KEY. Your key is on the page of your "
            "settings in Argilla."
        )
    if not (key.get_secret_value().isascii() and key.get_secret_value().isprintable()):
        raise ConfigurationError(
            "the key for Argilla holds characters that no HTTP header can. Copy it again."
        )


def _login_failure(error: Exception, url: str) -> ArgillaError:
    place, status = _without_credentials(url), getattr(error, "status_code", None)
    if type(error).__name__ == "ArgillaCredentialsError" or status in {401, 403}:
        return ArgillaError(
            f"the Argilla server at {place} does not take the key. Copy it again from the page of "
            f"your settings there, into api_key= or ARGILLA_API_KEY.",
            status=status or 401,
        )
    return ArgillaError(
        f"no Argilla server answers at {place} ({type(error).__name__}). Start it, or correct "
        f"api_url= or ARGILLA_API_URL.",
        status=status,
    )


def _without_credentials(url: str) -> str:
    """The address without what may be a user's name and password."""
    try:
        parts = urlsplit(url)
        return one_line(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")
    except ValueError:
        return "the address given"


class ArgillaServer:
    """What is asked of a server, by its HTTP API.

    Args:
        http: the client's session; it knows the address and holds the key.
        pause: waits so many seconds before a batch is sent again.
    """

    def __init__(self, http: Any, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._http = http
        self._pause = pause

    @property
    def url(self) -> str:
        """The address, without credentials."""
        return _without_credentials(str(self._http.base_url)).rstrip("/")

    def workspace_id(self, name: str) -> str:
        """The server's name for a workspace.

        Raises:
            ArgillaError: there is none of this name.
        """
        found = {each["name"]: str(each["id"]) for each in self._items("me/workspaces")}
        if name not in found:
            known = one_line(", ".join(found)) or "none"
            raise ArgillaError(
                f"the Argilla server at {self.url} has no workspace {name!r} that you may use; "
                f"yours are: {known}. Choose one of these, or have an owner make it.",
                status=404,
            )
        return found[name]

    def find(self, name: str, workspace_id: str) -> str | None:
        """The server's name for a data set, or None.

        Raises:
            ArgillaError: it is there, but unfinished.
        """
        for each in self._items("me/datasets"):
            if each["name"] == name and str(each["workspace_id"]) == workspace_id:
                if each["status"] != "ready":
                    raise ArgillaError(
                        f"the data set {name!r} at {self.url} is a draft, which takes no records. "
                        f"Publish or delete it there, or choose another name."
                    )
                return str(each["id"])
        return None

    def settings(self, dataset_id: str) -> Settings:
        """Fields, questions and the rest of a data set that exists."""
        place = f"datasets/{dataset_id}"
        return Settings(
            self._items(f"{place}/fields"),
            self._items(f"{place}/questions"),
            self._items(f"me/{place}/metadata-properties"),
            self._items(f"{place}/vectors-settings"),
        )

    def create(self, name: str, workspace_id: str, settings: Settings) -> str:
        """Make a data set and publish it, whole or not at all."""
        made = {"name": name, "workspace_id": workspace_id, "guidelines": settings.guidelines}
        dataset_id = str(self._ask("POST", "datasets", json=made)["id"])
        place = f"datasets/{dataset_id}"
        try:
            for kind, items in (
                ("fields", settings.fields),
                ("questions", settings.questions),
                ("metadata-properties", settings.metadata),
                ("vectors-settings", settings.vectors),
            ):
                for item in items:
                    self._ask("POST", f"{place}/{kind}", json=item)
            self._ask("PUT", f"{place}/publish")
        except ArgillaError:
            self._ask("DELETE", place)
            raise
        return dataset_id

    def add_metadata(self, dataset_id: str, properties: Sequence[Mapping[str, Any]]) -> None:
        """Add metadata properties to a data set that exists."""
        for item in properties:
            self._ask("POST", f"datasets/{dataset_id}/metadata-properties", json=item)

    def put(self, dataset_id: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Add or update records by their ids.

        A suggestion that a record had and has no more is taken back.
        """
        path = f"datasets/{dataset_id}/records/bulk"
        done = self._ask("PUT", path, json={"items": list(records)}, tries=_TRIES)
        wanted = {each["external_id"]: each["suggestions"] for each in records}
        for record in done["items"]:
            self._take_back(record, wanted[record["external_id"]])

    def _take_back(self, record: Mapping[str, Any], wanted: Sequence[Mapping[str, Any]]) -> None:
        kept = {each["question_id"] for each in wanted}
        stale = [s["id"] for s in record.get("suggestions") or () if s["question_id"] not in kept]
        if stale:
            path = f"records/{record['id']}/suggestions"
            self._ask("DELETE", path, params={"ids": ",".join(stale)})

    def records(self, dataset_id: str) -> Iterator[Mapping[str, Any]]:
        """All records with suggestions and responses, oldest first."""
        path, offset = f"datasets/{dataset_id}/records", 0
        include = ["responses", "suggestions"]
        while True:
            params = {"offset": offset, "limit": BATCH_RECORDS, "include": include}
            page = self._ask("GET", path, params=params)["items"]
            yield from page
            offset += len(page)
            if len(page) < BATCH_RECORDS:
                return

    def usernames(self, workspace_id: str) -> dict[str, str]:
        """People's names by the server's names for them, as far as this user may see them."""
        for path in ("users", f"workspaces/{workspace_id}/users"):
            try:
                return {str(each["id"]): each["username"] for each in self._items(path)}
            except ArgillaError as error:
                if error.status != 403:
                    raise
        return {}

    def _items(self, path: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._ask("GET", path)["items"]
        return items

    def _ask(self, method: str, path: str, *, tries: int = 1, **request: Any) -> Any:
        """One request; the reply's JSON, None if it has none."""
        status, reply = self._send(method, path, request)
        for number in range(tries - 1):
            if status is not None and status not in _WORTH_ANOTHER_TRY:
                break
            self._pause(_PAUSE_S * 2**number)
            status, reply = self._send(method, path, request)
        if status is None or status >= 400:
            raise ArgillaError(self._failure(status, reply), status=status)
        return reply

    def _send(self, method: str, path: str, request: Mapping[str, Any]) -> tuple[int | None, Any]:
        """Status and JSON of a reply, or its text if it failed; no status: no reply."""
        import httpx  # argilla's own

        try:
            response = self._http.request(method, f"/api/v1/{path}", **request)
            if response.status_code >= 400:
                return response.status_code, response.text
            return response.status_code, response.json() if response.content else None
        except httpx.HTTPError as error:
            return None, type(error).__name__
        except ValueError:
            return 500, "the reply is no JSON: is this an Argilla server?"

    def _failure(self, status: int | None, reply: str) -> str:
        said = one_line(reply)
        if status is None:
            return (
                f"the Argilla server at {self.url} gave no answer ({said}). See whether it runs, "
                f"and push again: what it has taken is updated, not doubled."
            )
        if status == 401:
            return f"the Argilla server at {self.url} does not take the key any more. Log in again."
        if status == 403:
            return (
                f"the Argilla server at {self.url} does not let you do this ({said}). Ask an owner "
                f"for the role of an admin of this workspace."
            )
        if status >= 500 or status == 429:
            return (
                f"the Argilla server at {self.url} failed with {status} ({said}). Look at its log, "
                f"and push again: what it has taken is updated, not doubled."
            )
        return f"the Argilla server at {self.url} refused the request with {status}: {said}"
