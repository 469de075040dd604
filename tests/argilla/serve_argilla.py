"""Start a real argilla-server on SQLite: python serve_argilla.py HOME PORT.

Runs in an environment that holds `argilla-server` and nothing of ours. Everything is the server as
it is published, but for two things that it would ask Elasticsearch and Redis for: its search (a
plug-in point of its own), which finds nothing here, and a job that counts progress, which is not
queued. The owner's key is `owner.apikey`; it is ready when GET /api/v1/version answers.
"""

import asyncio
import os
import sys


async def _nothing(*_: object, **__: object) -> None:
    """What a search index would do."""


def _register_search() -> None:
    from argilla_server.search_engine import SearchEngine

    async def new_instance(cls: type) -> object:
        return cls()

    async def ping(_: object) -> bool:
        return True

    methods = dict.fromkeys(SearchEngine.__abstractmethods__, _nothing)
    methods |= {"new_instance": classmethod(new_instance), "ping": ping}
    methods |= {"configure_index_vectors": _nothing}
    SearchEngine.register("none")(type("NoSearch", (SearchEngine,), methods))


def main(home: str, port: int) -> None:
    """Make the database, the owner and the workspace, and serve."""
    os.environ |= {
        "ARGILLA_HOME_PATH": home,
        "ARGILLA_SEARCH_ENGINE": "none",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "1",
    }
    _register_search()
    import uvicorn
    from alembic import command
    from alembic.config import Config
    from argilla_server.cli.database.users.create_default import _create_default
    from argilla_server.database import ALEMBIC_CONFIG_FILE

    command.upgrade(Config(ALEMBIC_CONFIG_FILE), "head")
    asyncio.run(_create_default("owner.apikey", "12345678", quiet=True))

    import argilla_server._app as server
    from argilla_server.jobs import dataset_jobs

    server.configure_redis = lambda: None
    dataset_jobs.update_dataset_records_status_job.delay = lambda *_: None
    uvicorn.run(server.app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
