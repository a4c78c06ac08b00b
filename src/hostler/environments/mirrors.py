"""Mirrors of remote repositories outside of environments: fetched once, borrowed by every clone.

A mirror holds what its own remote gave to one credential, or to nobody's, and nothing else ever writes to it. It is
fetched on the same way out as the environment's own clone, with the same list of allowed hosts. Environments see it
read-only and borrow its objects, so nothing is ever removed from one that an environment uses; a damaged one is
followed by another generation beside it.
"""

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
import threading
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from hostler.core.ambient import Ambient
from hostler.core.errors import EnvironmentFailed
from hostler.core.providers import NetworkPolicy
from hostler.environments import hostgit
from hostler.environments.channel import reachable
from hostler.environments.folders import Ways

log = structlog.get_logger(__name__)

PREFIX = "mirror-"
"""Begins the name under which a mirror takes the way out."""
UPDATE_SECONDS = 20.0
"""How long a clone waits for its mirror; without it, it goes on."""
MAKE_SECONDS = 1800.0
BEING_MADE = 3600.0
"""Seconds in which an environment counts as one that borrows although its folder may not be there yet."""
GONE = "gone-"
FRESH = 30.0
"""Seconds in which a mirror is not fetched again; what came meanwhile the clone itself fetches."""
REFS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
HEAD_LIMIT = 64 << 10
CERTIFICATES = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A repository as one credential sees it; `identity` names the credential, empty without one."""

    url: str
    subject: str
    identity: str
    policy: NetworkPolicy

    @property
    def key(self) -> str:
        """Return the mirror's name."""
        return hashlib.sha256("\0".join((self.url, self.identity)).encode()).hexdigest()[:40]


class Mirrors:
    """Every mirror of this runner, in one folder."""

    def __init__(
        self,
        root: Path,
        way: Ways,
        limit: int,
        ambient: Ambient,
        *,
        lives: Callable[[str], bool],
        update_seconds: float = UPDATE_SECONDS,
    ) -> None:
        self._root = root
        self._way = way
        self._limit = limit
        self._ambient = ambient
        self._lives = lives
        """Says whether an environment is there."""
        self._update_seconds = update_seconds
        self._locks: dict[str, asyncio.Lock] = {}
        self._borrowing = threading.Lock()
        """Held while somebody begins to borrow, and while a mirror that nobody borrows from is taken away."""
        self._fetched: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.subjects: dict[str, str] = {}
        """Whose credentials a mirror's way out uses, while it is open."""

    @property
    def on(self) -> bool:
        """Return whether there are mirrors here."""
        return self._limit > 0

    def folder(self, key: str) -> Path:
        """Return what an environment sees of a mirror."""
        return self._root / key / "seen"

    def use(self, key: str, environment: str) -> Path:
        """Note that an environment may borrow from a mirror until it is gone; return what it sees of it."""
        users = self._root / key / "users"
        with self._borrowing:
            folder = self._opened(key)
            users.mkdir(exist_ok=True)
            (users / environment).touch()
        return folder

    def _opened(self, key: str) -> Path:
        """Return a mirror's folder, made so that environments may look into it."""
        folder = self.folder(key)
        for one in (self._root, folder.parent, folder):
            one.mkdir(mode=0o711, parents=True, exist_ok=True)
            one.chmod(0o755 if one == folder else 0o711)
        return folder

    async def ready(self, wanted: Wanted) -> str:
        """Return the generation to borrow from, fetched anew if that is quick; empty when there is none yet."""
        if self._current(wanted.key) and not self._is_fresh(wanted.key):
            # It is not broken off: one that takes long is there for the next clone.
            await asyncio.wait({self._spawn(self._update(wanted))}, timeout=self._update_seconds)
        return self._current(wanted.key)

    async def _update(self, wanted: Wanted) -> None:
        async with self._lock(wanted.key):
            generation = self._current(wanted.key)
            if not generation or self._is_fresh(wanted.key):
                return
            folder = self.folder(wanted.key) / generation
            try:
                await asyncio.to_thread(_unlock, folder)
                await self._fetch(wanted, folder, MAKE_SECONDS)
            except (EnvironmentFailed, OSError) as problem:
                log.info("a mirror could not be brought up to date", url=wanted.url, problem=str(problem))

    def begin(self, wanted: Wanted) -> None:
        """Make a mirror in the background where there is none."""
        if self.on and not self._current(wanted.key):
            self._spawn(self._make(wanted))

    def suspect(self, wanted: Wanted) -> None:
        """Take a mirror for damaged: what borrows from it keeps it, and the next one is made beside it."""
        log.warning("a mirror seems to be damaged and is made anew", url=wanted.url)
        (self._root / wanted.key / "current").unlink(missing_ok=True)
        self.begin(wanted)

    async def settled(self) -> None:
        """Return when nothing is being made."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Give up what is being made; it is begun again when somebody wants it."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2)

    async def _make(self, wanted: Wanted) -> None:
        async with self._lock(wanted.key):
            if self._current(wanted.key):
                return
            generation = f"{self._ambient.token()[:12]}.git"
            folder = self._root / wanted.key / "part"
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            try:
                await asyncio.to_thread(self._begun, wanted.key, folder)
                await self._fetch(wanted, folder, MAKE_SECONDS)
                folder.rename(self.folder(wanted.key) / generation)
                (self._root / wanted.key / "current").write_text(generation)
            except (EnvironmentFailed, OSError) as problem:
                log.info("a mirror could not be made", url=wanted.url, problem=str(problem))
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        await self.prune()

    def _begun(self, key: str, folder: Path) -> None:
        """Make an empty repository, which is seen by nobody until it is whole."""
        with self._borrowing:
            self._opened(key)
            hostgit.make(folder, shared=True)

    async def _fetch(self, wanted: Wanted, folder: Path, seconds: float) -> None:
        async with self._outside(wanted) as variables:
            words = ("fetch", "--quiet", "--prune", "--no-write-fetch-head", "--no-auto-maintenance", "--no-tags")
            done = await hostgit.run(folder, *words, wanted.url, *REFS, env=variables, seconds=seconds)
        if done.code:
            raise EnvironmentFailed(done.said)
        self._fetched[wanted.key] = self._ambient.monotonic()

    @asynccontextmanager
    async def _outside(self, wanted: Wanted) -> AsyncGenerator[dict[str, str]]:
        """Yield the variables with which git takes the way out that the policy leaves open."""
        name = f"{PREFIX}{wanted.key}"
        net = self._root / wanted.key / "net"
        net.mkdir(mode=0o700, exist_ok=True)
        self.subjects[name] = wanted.subject
        word = secrets.token_urlsafe(24)
        await self._way.open(name, net, -1, wanted.policy)
        try:
            async with await asyncio.start_server(_Door(net / "egress.sock", word).pass_on, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                yield _variables(f"http://hostler:{word}@127.0.0.1:{port}", net / "gitconfig")
        finally:
            await self._way.close(name)
            self.subjects.pop(name, None)

    def _current(self, key: str) -> str:
        with contextlib.suppress(OSError):
            generation = (self._root / key / "current").read_text()
            if (self._root / key / "seen" / generation / "HEAD").exists():
                os.utime(self._root / key / "current")
                return generation
        return ""

    def _is_fresh(self, key: str) -> bool:
        return key in self._fetched and self._ambient.monotonic() - self._fetched[key] < FRESH

    async def prune(self) -> None:
        """Remove mirrors that no environment borrows from, the longest unused first, until all fit the limit."""
        await asyncio.to_thread(self._prune)

    def _prune(self) -> None:
        found = [(self._last_used(one), _size(one), one) for one in self._root.iterdir() if one.is_dir()]
        total = sum(size for _, size, _ in found)
        for _, size, folder in sorted(found):
            if total <= self._limit:
                return
            if self._taken_away(folder):
                total -= size

    def _taken_away(self, folder: Path) -> bool:
        """Remove a mirror unless somebody borrows from it, or begins to."""
        aside = self._root / f"{GONE}{folder.name.removeprefix(GONE)}"
        with self._borrowing:
            if folder != aside:
                if self._is_borrowed(folder) or self._lock(folder.name).locked():
                    return False
                shutil.rmtree(aside, ignore_errors=True)
                folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
        return True

    def _last_used(self, folder: Path) -> float:
        with contextlib.suppress(OSError):
            return (folder / "current").stat().st_mtime
        return 0.0

    def _is_borrowed(self, folder: Path) -> bool:
        users = folder / "users"
        for user in list(users.iterdir()) if users.is_dir() else []:
            if self._lives(user.name) or self._ambient.now().timestamp() - user.stat().st_mtime < BEING_MADE:
                return True
            user.unlink(missing_ok=True)
        return False

    def _lock(self, key: str) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _variables(proxy: str, included: Path) -> dict[str, str]:
    settings = {
        "http.proxy": proxy,
        "http.proxyAuthMethod": "basic",
        "include.path": str(included),
        "protocol.http.allow": "always",
        "protocol.https.allow": "always",
        "credential.helper": "",
    }
    variables = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings.items()):
        variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return variables | {name: os.environ[name] for name in CERTIFICATES if name in os.environ}


def _unlock(folder: Path) -> None:
    """Remove what a git that was killed left behind; nobody else writes here."""
    left = (*folder.glob("*.lock"), *(folder / "refs").rglob("*.lock"), *(folder / "objects" / "pack").glob("tmp_*"))
    for file in left:
        file.unlink(missing_ok=True)


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


class _Door:
    """Leads from a port of this machine to a way out, for whoever knows the word."""

    def __init__(self, socket: Path, word: str) -> None:
        self._socket = socket
        self._proof = b"Basic " + b64encode(f"hostler:{word}".encode())

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                head = await reader.readuntil(b"\r\n\r\n")
                if self._proof in head:
                    await self._joined(head, reader, writer)
        finally:
            writer.close()

    async def _joined(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with reachable(self._socket) as name:
            far_reader, far_writer = await asyncio.open_unix_connection(name)
        try:
            far_writer.write(head)
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        finally:
            far_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(HEAD_LIMIT):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        if writer.can_write_eof():
            writer.write_eof()
