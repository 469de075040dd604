"""A data set that was labelled, and a real Argilla server with its people."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

from datasets import Dataset

from distilabel.dataset import CustomDataset
from distilabel.tasks import UltraFeedbackTask

OWNER_KEY = "owner.apikey"
WORKSPACE = "admin"


def labelled(rows: int, **columns: list) -> CustomDataset:
    """A data set of pairs that a model rated; `columns` take the place of its own."""
    own = {
        "input": [f"question {i}" for i in range(rows)],
        "generation_model": [["small", "large"]] * rows,
        "generations": [[f"short {i}", f"*long* {i}"] for i in range(rows)],
        "labelling_model": ["gpt-4o"] * rows,
        "rating": [[float(1 + i % 5), float(1 + i // 5 % 5)] for i in range(rows)],
        "rationale": [[f"because {i}", f"and {i}"] for i in range(rows)],
    }
    return CustomDataset.from_dataset(Dataset.from_dict(own | columns), task=UltraFeedbackTask())


def free_port() -> int:
    """A port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Road:
    """A way to a server, over a port where nobody answers until it is opened."""

    def __init__(self, url: str) -> None:
        self._server = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    def open(self) -> None:
        """Let everybody through, from now on."""
        door = socket.create_server(("127.0.0.1", self._port))
        threading.Thread(target=self._let_in, args=(door,), daemon=True).start()

    def _let_in(self, door: socket.socket) -> None:
        while True:
            guest, _ = door.accept()
            host = socket.create_connection(self._server)
            for ways in ((guest, host), (host, guest)):
                threading.Thread(target=self._carry, args=ways, daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):  # one of the two has hung up
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@dataclass(frozen=True)
class RealServer:
    """A server that runs, and its owner's client."""

    url: str
    owner: Any
    log_in: Callable[[str], Any]

    def ask(self, method: str, path: str, client: Any = None, **request) -> Any:
        """A request of the owner's, or of another client's."""
        reply = (client or self.owner).http_client.request(method, f"/api/v1/{path}", **request)
        assert reply.status_code < 300, reply.text
        return reply.json() if reply.content else None

    def dataset_id(self, name: str) -> str:
        """The server's name for a data set."""
        return next(d["id"] for d in self.ask("GET", "me/datasets")["items"] if d["name"] == name)

    def records(self, name: str) -> list[dict]:
        """All records of a data set, as the server has them."""
        found, path = [], f"datasets/{self.dataset_id(name)}/records"
        for offset in count(0, 500):
            params = {"offset": offset, "limit": 500, "include": ["suggestions", "responses"]}
            page = self.ask("GET", path, params=params)["items"]
            found += page
            if len(page) < 500:
                return found
        raise AssertionError

    def suggestions(self, name: str) -> dict[str, dict]:
        """Who suggests what, by input and question."""
        path = f"datasets/{self.dataset_id(name)}/questions"
        names = {each["id"]: each["name"] for each in self.ask("GET", path)["items"]}
        return {
            record["fields"]["input"]: {
                names[s["question_id"]]: (s["value"], s["agent"]) for s in record["suggestions"]
            }
            for record in self.records(name)
        }

    def add_person(self, username: str) -> Any:
        """A client of a new annotator in the workspace."""
        user = self.ask(
            "POST",
            "users",
            json={
                "username": username,
                "first_name": username,
                "password": "password-of-a-test",
                "role": "annotator",
            },
        )
        spaces = self.ask("GET", "me/workspaces")["items"]
        space = next(each["id"] for each in spaces if each["name"] == WORKSPACE)
        self.ask("POST", f"workspaces/{space}/users", json={"user_id": user["id"]})
        return self.log_in(user["api_key"])

    def respond(self, person: Any, record: dict, status: str, **answers) -> None:
        """Have a person answer; `generations_1_rating=4` is the answer to that question."""
        values = {name.replace("_", "-"): {"value": value} for name, value in answers.items()}
        body = {"status": status, "values": values or None}
        self.ask("POST", f"records/{record['id']}/responses", person, json=body)
