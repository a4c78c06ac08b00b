"""Scrubbing what lies beside the database: large outputs, text being said, logs, kept work, caches.

What cannot be rewritten is told: git's objects are named by what they hold, and a workspace is somebody's work.
"""

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from hostler.core.spoken import Spoken
from hostler.scrubbing.masking import Masking
from hostler.scrubbing.rows import Moved
from hostler.store.spoken import SpokenFiles

LOGS = ("*.log", "environments/*/launch.log")
SETTINGS = ("hostler.toml",)
GIT = ("cat-file", "--batch-all-objects", "--batch", "--unordered", "--buffer")


@dataclass(frozen=True, slots=True)
class Left:
    """Where a secret stands that is not rewritten, and what can be done about it."""

    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A data folder; without `change` it is only looked at."""

    home: Path
    masking: Masking
    change: bool

    def blobs(self) -> Iterator[tuple[Path, Moved]]:
        """Yield each large output that a secret stands in, with what it is masked; the masked one is there by then."""
        for path in sorted((self.home / "blobs").glob("*/*")):
            data = path.read_bytes()
            if not self.masking.in_data(data):
                continue
            masked = self.masking.data(data)
            moved = Moved(sha256(masked).hexdigest(), len(masked))
            if self.change:
                _written(self.home / "blobs" / moved.sha256[:2] / moved.sha256, masked)
            yield path, moved

    def said(self) -> int:
        """Mask what was said and is not in a log yet; return in how many files."""
        files = [path for path in sorted((self.home / "said").glob("*")) if self._pieces_hold(path)]
        if self.change and files:
            store = SpokenFiles(self.home / "said")
            for path in files:
                if path.suffix == ".jsonl":
                    store.replace(path.stem, self._masked(store.read(path.stem)))
                if path.exists() and self._pieces_hold(path):
                    path.unlink()
        return len(files)

    def _pieces_hold(self, path: Path) -> bool:
        data = path.read_bytes()
        pieces: list[str] = []
        for line in data.splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, list):
                pieces.append(str(value[1]))  # pyright: ignore[reportUnknownArgumentType]
        return bool(self.masking.in_data(data) or self.masking.in_data("".join(pieces).encode(errors="replace")))

    def _masked(self, pieces: Sequence[Spoken]) -> list[Spoken]:
        """Return each block as one piece, masked: a secret may stand in two pieces."""
        blocks: dict[str, Spoken] = {}
        for piece in pieces:
            before = blocks.get(piece.block)
            blocks[piece.block] = replace(piece, text=before.text + piece.text) if before else piece
        return [replace(piece, text=self.masking.text(piece.text)) for piece in blocks.values()]

    def logs(self) -> int:
        """Mask the logs of the server and of launches; return in how many files."""
        found = [path for pattern in LOGS for path in self.home.glob(pattern) if self._holds(path)]
        for path in found if self.change else ():
            _written(path, self.masking.data(path.read_bytes()))
        return len(found)

    def setups(self) -> int:
        """Remove what setup commands made, where a secret is in it; it is made again when it is needed."""
        folders = [
            one for one in sorted((self.home / "setups").glob("*")) if any(self._holds(path) for path in one.glob("*"))
        ]
        for folder in folders if self.change else ():
            shutil.rmtree(folder)
        return len(folders)

    def kept(self) -> list[Path]:
        """Return the kept repositories that a secret is in."""
        return [one for one in sorted((self.home / "kept").glob("*.git")) if self._in_repository(one)]

    def left(self) -> Iterator[Left]:
        """Yield what is not rewritten, besides kept work."""
        for one in sorted((self.home / "mirrors").glob("*/seen/*.git")):
            if self._in_repository(one):
                yield Left(
                    str(one.relative_to(self.home)), "the repository itself holds it; remove it there, and this mirror"
                )
        for one in sorted((self.home / "environments").glob("*/files")):
            if number := sum(self._holds(path) for path in _walked(one)):
                told = f"{number} files of a workspace, a home or its supervisor's notes; hostler env rm removes them"
                yield Left(str(one.parent.relative_to(self.home)), told)
        for path in (*(self.home / name for name in SETTINGS), *sorted((self.home / "secrets").glob("*.json"))):
            if self._holds(path):
                yield Left(str(path.relative_to(self.home)), "it is set there, for use; change it by hand")

    def _in_repository(self, repository: Path) -> bool:
        """Return whether a secret stands in any object of a repository, or in a file beside them."""
        if any(self._holds(path) for path in _walked(repository) if "objects" not in path.parts):
            return True
        words = ["git", "--git-dir", str(repository), *GIT]
        env = {"PATH": os.environ.get("PATH", os.defpath), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
        with subprocess.Popen(
            words, cwd="/", env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as git:
            assert git.stdout is not None, "it was asked for"
            found = self.masking.in_stream(git.stdout.read)
            git.kill() if found else None
        return found

    def _holds(self, path: Path) -> bool:
        """Return whether a secret stands in a file; one that is no file, or cannot be read, is passed over."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False
        with os.fdopen(descriptor, "rb") as file:
            return stat.S_ISREG(os.fstat(descriptor).st_mode) and self.masking.in_stream(file.read)


def _walked(top: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(top):
        yield from (Path(folder, name) for name in names)


def _written(path: Path, data: bytes) -> None:
    """Write a file whole, in place of the one that is there."""
    path.parent.mkdir(exist_ok=True, mode=0o700)
    part = path.with_name(f"{path.name}.part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
