"""Where an environment lives on disk, and what is remembered there: folders, the record of its making, its launch."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from hostler.core.errors import EnvironmentFailed
from hostler.core.providers import EnvSpec, Feature, Limits, NetworkPolicy

GONE = ".gone-"
T = TypeVar("T")
SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Record:
    """What must be known to start an environment again; written once, when it is made."""

    id: str
    uid: int
    """The uid that everything inside has on this machine; -1: the server's own."""
    limits: Limits = field(default_factory=Limits)
    network: NetworkPolicy = field(default_factory=NetworkPolicy)
    env: dict[str, str] = field(default_factory=dict[str, str])
    features: frozenset[Feature] = frozenset()
    checkout: str = ""
    mirror: str = ""

    @classmethod
    def of(cls, spec: EnvSpec, uid: int) -> "Record":
        """Return the record of a new environment."""
        env = dict(spec.env)
        return cls(spec.id, uid, spec.limits, spec.network, env, spec.features, spec.checkout, spec.mirror)


@dataclass(frozen=True, slots=True)
class Launch:
    """One start of a supervisor; pid -1 says that it was about to be started."""

    boot: str
    incarnation: str
    pid: int = -1
    started: int = -1
    """The process's start time in clock ticks since boot: with the pid it names one process for good."""


RECORD = TypeAdapter(Record)
LAUNCH = TypeAdapter(Launch)
MOST_KNOWN = 4096
_known: dict[Path, tuple[tuple[int, ...], Any]] = {}
"""What files said when they were read last, with their stamps: each command in an environment asks for two of them."""


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of one environment. Only `work`, `home`, `state` (writable), `etc` and `net` are seen from inside."""

    folder: Path

    @property
    def work(self) -> Path:
        """Return the workspace."""
        return self.folder / "files" / "work"

    @property
    def home(self) -> Path:
        """Return the home folder."""
        return self.folder / "files" / "home"

    @property
    def state(self) -> Path:
        """Return the supervisor's folder."""
        return self.folder / "files" / "state"

    @property
    def etc(self) -> Path:
        """Return the system files made for this environment."""
        return self.folder / "etc"

    @property
    def net(self) -> Path:
        """Return the folder of the sockets that lead out; it stays bound while servers come and go."""
        return self.folder / "net"

    @property
    def socket(self) -> Path:
        """Return the supervisor's listening socket."""
        return self.folder / "s"

    @property
    def log(self) -> Path:
        """Return what launching said."""
        return self.folder / "launch.log"

    def record(self) -> Record | None:
        """Return how the environment was made; None when it was not, or not to the end; raises EnvironmentFailed."""
        return _read(self.folder / "record.json", RECORD)

    def launch(self) -> Launch | None:
        """Return the last launch; None when there was none or it was ended; raises EnvironmentFailed."""
        return _read(self.folder / "launch.json", LAUNCH)

    def write_launch(self, launch: Launch | None) -> None:
        """Remember a launch, or that it is over."""
        if launch is None:
            (self.folder / "launch.json").unlink(missing_ok=True)
            _known.pop(self.folder / "launch.json", None)
        else:
            _write(self.folder / "launch.json", LAUNCH.dump_json(launch))

    def make(self, record: Record) -> None:
        """Make the folders; the record comes last, so that a half-made environment is never taken for one."""
        for folder, mode in ((self.folder, 0o711), (self.etc, 0o755), (self.net, 0o755)):
            folder.mkdir(exist_ok=True)
            folder.chmod(mode)
        for folder in (self.work.parent, self.work, self.home, self.state):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)
            if record.uid >= 0:
                os.chown(folder, record.uid, record.uid)
        _write(self.folder / "record.json", RECORD.dump_json(record))


def place(root: Path, environment: str) -> Place:
    """Return the place of an environment; raises EnvironmentFailed for an id that cannot be a folder's name."""
    if not SAFE_ID.fullmatch(environment):
        raise EnvironmentFailed(f"An environment's id may hold letters, digits, - and _ only, not {environment!r}.")
    return Place(root / environment)


def places(root: Path) -> Iterator[Place]:
    """Yield every environment's place below the root, also of one whose removal was cut short."""
    if root.is_dir():
        for name in sorted({folder.name.removeprefix(GONE) for folder in root.iterdir() if folder.is_dir()}):
            if SAFE_ID.fullmatch(name) and not name.startswith("supervisor-"):
                yield Place(root / name)


def free_uid(root: Path, environment: str, uids: range) -> int:
    """Return a uid that no other environment below the root has; spread, for other roots take from the same range."""
    taken = {record.uid for place in places(root) if (record := place.record())}
    start = int(sha256(f"{root}/{environment}".encode()).hexdigest(), 16) % len(uids)
    for step in range(len(uids)):
        uid = uids[(start + step) % len(uids)]
        if uid not in taken:
            return uid
    raise EnvironmentFailed("All user ids for environments are taken; widen the range or delete environments.")


def remove(folder: Path) -> None:
    """Remove a folder whose content is hostile: by a program that follows no link and has no limit of depth.

    Raises EnvironmentFailed when something of it stays.
    """
    aside = folder.with_name(GONE + folder.name)
    try:
        _remove(aside)  # A removal before this one may not have come to its end.
        if folder.exists():
            folder.rename(aside)
            _remove(aside)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EnvironmentFailed(f"The environment's files could not be removed: {error}") from error


def _remove(aside: Path) -> None:
    if aside.exists() and subprocess.run(["rm", "-rf", "--", aside], check=False, capture_output=True).returncode:
        # Folders without permissions stop an ordinary user's rm.
        subprocess.run(["chmod", "-R", "u+rwX", "--", aside], check=False, capture_output=True)
        subprocess.run(["rm", "-rf", "--", aside], check=True, capture_output=True)


def _read(path: Path, kind: TypeAdapter[T]) -> T | None:
    """Read what `_write` wrote; what merely cannot be read now must not pass for absent, for it would be made anew."""
    try:
        seen = _stamp(os.stat(path))
        known = _known.get(path)
        if known is None or known[0] != seen:
            known = (seen, kind.validate_json(path.read_bytes()))
            _remember(path, known)
        return known[1]
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
    except OSError as error:
        raise EnvironmentFailed(f"{path.name} of the environment cannot be read: {error.strerror}") from error


def _stamp(file: os.stat_result) -> tuple[int, ...]:
    """Return what is another one for each file that `_write` puts in a place."""
    return file.st_dev, file.st_ino, file.st_mtime_ns, file.st_ctime_ns, file.st_size


def _remember(path: Path, known: tuple[tuple[int, ...], Any]) -> None:
    """Remember what a file says; the files are stamped before they are read, so a newer one is only read again."""
    if len(_known) >= MOST_KNOWN:
        _known.clear()
    _known[path] = known


def _write(path: Path, data: bytes) -> None:
    part = path.with_suffix(".part")
    part.touch(mode=0o600)
    part.write_bytes(data)
    part.replace(path)
    _known.pop(path, None)
