"""What setup commands left in workspace and home folder, kept outside as archives for the next environment like it.

An archive is written by `tar` inside and unpacked by `tar` inside; outside it is bytes and nothing else.
"""

import asyncio
import contextlib
import os
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from hostler.core.errors import EnvironmentFailed
from hostler.core.machines import Command, ExecResult, Exited, Machine, Operation

ASIDE = ".hostler-setup"
"""Where archives lie in the workspace for a moment."""
NAMES = ("work", "home")
PART = 16 << 20
SECONDS = 600.0
LARGEST = 4 << 30
KEY = re.compile(r"[0-9a-f]{64}")
PACK = """
set -e
aside=$PWD/$1
if git status --porcelain --untracked-files=no | grep -q .; then echo tracked files were changed >&2; exit 3; fi
git ls-files --others -z > "$HOME/.hostler-list"
mkdir "$aside"
tar -cf "$aside/work" --null --verbatim-files-from -T "$HOME/.hostler-list"
rm "$HOME/.hostler-list"
cd "$HOME" && tar -cf "$aside/home" --exclude=./.cache --exclude=./.npm .
stat -c %s "$aside/work" "$aside/home"
"""
UNPACK = """
set -e
aside=$PWD/$1
cat "$aside"/work.* | tar -xf -
cd "$HOME" && cat "$aside"/home.* | tar -xf -
rm -rf "$aside"
"""


@dataclass(frozen=True, slots=True)
class Site:
    """Where archives are made and unpacked: the operation's id is the beginning of each step's."""

    machine: Machine
    operation: Operation
    incarnation: str

    async def run(self, step: str, script: str) -> ExecResult:
        """Run a script as one step."""
        operation = replace(self.operation, id=f"{self.operation.id}/{step}")
        command = Command(("/bin/sh", "-c", script, "sh", ASIDE), timeout=SECONDS, merge=False)
        return await self.machine.exec(operation, command, incarnation=self.incarnation)


class Overlays:
    """Every archive of this runner, in one folder; the longest unused ones go when they do not fit the limit."""

    def __init__(self, root: Path, limit: int) -> None:
        self._root = root
        self._limit = limit

    @property
    def on(self) -> bool:
        """Return whether any are kept."""
        return self._limit > 0

    def has(self, key: str) -> bool:
        """Return whether there is one."""
        return (self._folder(key) / "whole").exists()

    async def keep(self, key: str, site: Site) -> int:
        """Keep what setup left in an environment where nothing else runs yet; return its bytes, 0 for none.

        Raises EnvironmentFailed when it cannot be read, MachineLost.
        """
        packed = await site.run("pack", PACK)
        try:
            sizes = [int(word) for word in packed.out.head.split() if word.isdigit()]
            if packed.outcome != Exited(0) or len(sizes) != len(NAMES) or sum(sizes) > min(LARGEST, self._limit):
                return 0
            folder = self._folder(key).with_suffix(".part")
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            folder.mkdir(mode=0o700, parents=True)
            for name, size in zip(NAMES, sizes, strict=True):
                await self._take_out(site, folder / name, f"{ASIDE}/{name}", size)
            (folder / "whole").touch()
            await asyncio.to_thread(self._put, folder, self._folder(key))
            return sum(sizes)
        finally:
            await site.run("tidy", 'rm -rf "$1" "$HOME/.hostler-list"')

    async def _take_out(self, site: Site, target: Path, path: str, size: int) -> None:
        with target.open("wb") as file:
            while file.tell() < size:
                chunk = await site.machine.read(path, offset=file.tell(), limit=PART)
                if not chunk.data:
                    raise EnvironmentFailed("the archive of the setup became shorter while it was read")
                await asyncio.to_thread(file.write, chunk.data[: size - file.tell()])

    async def restore(self, key: str, site: Site) -> None:
        """Bring back what setup left elsewhere; raises EnvironmentFailed, and what is of no use is there no more."""
        folder = self._folder(key)
        with contextlib.suppress(OSError):
            os.utime(folder / "whole")
        for name in NAMES:
            with (folder / name).open("rb") as file:
                for number, data in enumerate(iter(lambda: file.read(PART), b"")):
                    operation = replace(site.operation, id=f"{site.operation.id}/{name}-{number}")
                    path = f"{ASIDE}/{name}.{number:05}"
                    await site.machine.write(operation, path, data, incarnation=site.incarnation)
        done = await site.run("unpack", UNPACK)
        if done.outcome != Exited(0):
            await site.run("untidy", 'rm -rf "$1"')
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            said = done.err.head.decode(errors="replace")[-300:].strip()
            raise EnvironmentFailed(f"the setup kept from before could not be brought back: {said or 'tar failed'}")

    def _put(self, part: Path, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
        self._prune(folder)

    def _prune(self, newest: Path) -> None:
        kept = [(_used(one), _size(one), one) for one in self._root.iterdir() if one.is_dir()]
        total = sum(size for _, size, _ in kept)
        for _, size, folder in sorted(kept):
            if total <= self._limit:
                return
            if folder != newest:
                shutil.rmtree(folder, ignore_errors=True)
                total -= size

    def _folder(self, key: str) -> Path:
        assert KEY.fullmatch(key), "a key is a sha256"
        return self._root / key


def machine_of() -> str:
    """Return what tells this machine's programs from those after an upgrade, which archives may not go with."""
    try:
        system = Path("/etc/os-release").read_text()
    except OSError:
        system = ""
    return f"{os.path.realpath('/usr/bin/python3')}\n{system}"


def _used(folder: Path) -> float:
    with contextlib.suppress(OSError):
        return (folder / "whole").stat().st_mtime
    return 0.0


def _size(folder: Path) -> int:
    return sum(one.stat().st_size for one in folder.iterdir() if one.is_file())
