"""A throw-away Postgres: unprivileged, on a Unix socket, gone with the process that started it.

It needs the server's programs, on Debian from the package `postgresql`. They refuse to run as root, so root runs them
as the package's user `postgres`.
"""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from threading import Thread

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import URL

SERVICE_USER = "postgres"
HINT = "apt-get install -y --no-install-recommends postgresql"
SETTINGS = (
    "fsync=off",
    "full_page_writes=off",
    "max_connections=100",
    "shared_buffers=16MB",
    "lc_messages=C",
    "logging_collector=off",
    "log_destination=stderr",
)
"""No crash of the machine is survived, only crashes of processes: that is what tests need."""


DURABLE = ("fsync=on", "full_page_writes=on")
RESTARTS = 20
"""Attempts to start again after an end in the middle of things."""


class NoPostgres(Exception):
    """The Postgres server's programs are not on this machine."""


@dataclass(slots=True)
class ThrowAwayPostgres:
    """A running server with one empty database, `postgres`; `folder` holds its data and its socket."""

    folder: Path
    user: str
    command: Sequence[str]
    address: str = ""
    """Where it listens for TCP too; empty: nowhere."""
    port: int = 0
    process: "subprocess.Popen[str] | None" = None
    _drain: Thread | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True, env=_environment(), cwd="/")
        try:
            _await_ready(process)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        self.process = process
        self._drain = Thread(target=deque, args=(process.stderr, 0), daemon=True)
        self._drain.start()

    def end(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End it at once, every session in the middle of what it does."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait()
            if self._drain is not None:
                self._drain.join()  # the sessions of a server that was killed end a moment after it
            if self.process.stderr is not None:
                self.process.stderr.close()
        self.process = self._drain = None

    def restart(self) -> None:
        """End it as a crash would, without a word to anybody, and start it again on the same data."""
        self.end()
        for left in reversed(range(RESTARTS)):
            try:
                self.start()
                break
            except NoPostgres:  # A session of before may still be on its way out, with the memory that all share.
                if not left:
                    raise

    def tcp_url(self, schema: str) -> str:
        """Return the URL by TCP of a schema, which is made if it is not there."""
        with psycopg.connect(self.url()) as connection:
            connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(schema)))
        url = URL.create(
            "postgresql",
            username=self.user,
            host=self.address,
            port=self.port,
            database="postgres",
            query={"options": f"-csearch_path={schema}"},
        )
        return url.render_as_string(hide_password=False)

    def url(self, schema: str = "public") -> str:
        """Return the URL of the database with `schema` as the place of its tables."""
        query = {"host": str(self.folder), "port": str(self.port), "options": f"-csearch_path={schema}"}
        url = URL.create("postgresql", username=self.user, database="postgres", query=query)
        return url.render_as_string(hide_password=False)


def programs() -> Path:
    """Return the folder of initdb and postgres, the newest there is; raises NoPostgres with a hint."""
    places = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr/pgsql").glob("*/bin")]
    found = [place for place in places if (place / "initdb").exists() and (place / "postgres").exists()]
    if found:
        return max(found, key=_version)
    on_path = shutil.which("initdb")
    if on_path and (Path(on_path).resolve().parent / "postgres").exists():
        return Path(on_path).resolve().parent
    raise NoPostgres(f"the Postgres server is not installed; on Debian: {HINT}")


@contextmanager
def throw_away_postgres(address: str = "", *, durable: bool = False) -> Generator[ThrowAwayPostgres]:
    """Start a server on an empty database, and remove every trace of it in the end.

    With an `address` of this machine it listens there too, and lets in whoever asks. A `durable` one flushes each
    commit to the disk, as one that is measured must.
    """
    place = programs()
    folder = Path(
        mkdtemp(prefix="hostler-pg-", dir="/tmp")
    )  # a socket's path must be short, and reachable for its user
    try:
        user = _owner(folder)
        data, port = folder / "data", _free_port(address) if address else 5432
        _make(_as(user, [str(place / "initdb"), "-D", str(data), "-U", user, "-A", "trust", "-E", "UTF8", "--no-sync"]))
        if address:
            with (data / "pg_hba.conf").open("a") as rules:
                rules.write("host all all samenet trust\n")
        own = (f"unix_socket_directories={folder}", f"listen_addresses={address}", f"port={port}")
        options = [part for setting in (*SETTINGS, *(DURABLE if durable else ()), *own) for part in ("-c", setting)]
        server = ThrowAwayPostgres(
            folder, user, _as(user, [str(place / "postgres"), "-D", str(data), *options]), address, port
        )
        try:
            server.start()
            yield server
        finally:
            server.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port(address: str) -> int:
    with socket.create_server((address, 0)) as free:
        return int(free.getsockname()[1])


def _version(place: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(place))]


def _owner(folder: Path) -> str:
    """Give the folder to the user that the server runs as, and return its name."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    try:
        owner = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        owner = pwd.getpwnam("nobody")
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    return owner.pw_name


def _as(user: str, command: Sequence[str]) -> list[str]:
    """Return the command so that it runs as `user` and ends, at the latest, with this process."""
    become = ["--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid), "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *become, "--pdeathsig", "QUIT", *command]


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def _make(command: Sequence[str]) -> None:
    made = subprocess.run(command, capture_output=True, text=True, env=_environment(), cwd="/", check=False)
    if made.returncode:
        raise NoPostgres(f"initdb failed: {made.stderr.strip()}")


def _await_ready(process: "subprocess.Popen[str]") -> None:
    """Read the server's log until it says that it answers."""
    assert process.stderr is not None
    last: deque[str] = deque(maxlen=20)
    for said in process.stderr:
        last.append(said)
        if "ready to accept connections" in said:
            return
    raise NoPostgres(f"the Postgres server did not start: {''.join(last)}")
