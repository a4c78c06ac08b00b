"""The data folder: the runner's identity and lock, the owner's token, the signing key, where the server is found."""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hostler.core.ambient import Ambient
from hostler.core.errors import HostlerError


class HomeInUse(HostlerError):
    """Another Hostler server uses this data folder."""


@dataclass(frozen=True, slots=True)
class Home:
    """A data folder that this process has locked; `runner` is the stable id of machine and folder."""

    folder: Path
    runner: str
    signing_key: bytes
    secret_key: bytes
    """What credentials of code hosts are sealed with: 256 bits."""

    @property
    def token_file(self) -> Path:
        """Return where the owner's token is kept."""
        return self.folder / "token"

    @classmethod
    @contextmanager
    def locked(cls, folder: Path, ambient: Ambient) -> Generator["Home"]:
        """Make the folder if needed and hold its lock; raises HomeInUse when another process does."""
        _make(folder)
        with open(folder / "lock", "a+") as lock:
            os.fchmod(lock.fileno(), 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise HomeInUse(
                    f"another Hostler server uses {folder}; stop it, or choose another folder with --data-dir"
                ) from None
            runner = _kept(folder / "runner", lambda: ambient.new_id().encode()).decode().strip()
            signing, secret = (_kept(folder / name, lambda: secrets.token_bytes(32)) for name in ("key", "secret-key"))
            yield cls(folder, runner, signing, secret)

    def token_sha256(self) -> str:
        """Return the sha256 of the kept token, in hex."""
        return hashlib.sha256(self.token_file.read_text().strip().encode()).hexdigest()

    def write_token(self, token: str) -> None:
        """Keep the owner's token, for this user only."""
        _write(self.token_file, f"{token}\n".encode())

    def write_server(self, url: str) -> None:
        """Say where the server is, for local commands."""
        _write(self.folder / "server.json", json.dumps({"url": url, "pid": os.getpid()}).encode())

    def remove_server(self) -> None:
        """Say that no server runs any more."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "server.json").unlink()


def _make(folder: Path) -> None:
    """Make the folder: private to the user; for root passable, because sandboxes have users of their own."""
    mode = 0o711 if os.geteuid() == 0 else 0o700
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)
    except OSError as problem:
        raise HostlerError(f"the data folder {folder} cannot be used: {problem.strerror}") from None


def _kept(file: Path, make: Callable[[], bytes]) -> bytes:
    """Return what a file holds, making it once."""
    if not file.exists():
        _write(file, make())
    return file.read_bytes()


def _write(file: Path, data: bytes) -> None:
    """Write a file whole, readable for this user only."""
    fresh = file.with_name(f".{file.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    fresh.replace(file)
