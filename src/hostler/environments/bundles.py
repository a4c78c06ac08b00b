"""Packing a repository of this machine for an environment, without changing a byte of it.

Git runs here as the server, on a repository that its owner named; its hooks and its file system monitor do not run.
Uncommitted changes are committed on top in a repository of our own that borrows the original's objects.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hostler.core.errors import EnvironmentFailed

BRANCH = "hostler"
ARRIVED = "refs/hostler-arrived"
GIT_SECONDS = 300.0
BUNDLE_LIMIT = 4 << 30
QUIET = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "safe.directory=*")
SIGNATURE = {
    "GIT_AUTHOR_NAME": "Hostler",
    "GIT_AUTHOR_EMAIL": "hostler@localhost",
    "GIT_COMMITTER_NAME": "Hostler",
    "GIT_COMMITTER_EMAIL": "hostler@localhost",
}


@dataclass(frozen=True, slots=True)
class Packed:
    """A bundle, and what is to become of it inside."""

    folder: Path
    commit: str | None
    """None: the repository has no commit and no file."""
    branch: str | None
    origin: str | None
    """The original's own remote, if it is an http address without credentials."""
    shallow: bytes = b""
    """The commits at which the original's history is cut, as git keeps them."""
    notes: tuple[str, ...] = ()
    anchor: str | None = None
    """The original's own commit below what came along; empty: it has none. None: the commit itself."""

    @property
    def file(self) -> Path:
        """Return the bundle."""
        return self.folder / "bundle"

    def discard(self) -> None:
        """Remove the bundle; safe to repeat."""
        shutil.rmtree(self.folder, ignore_errors=True)


async def pack(path: Path, ref: str | None) -> Packed:
    """Pack a commit (None: the head with all uncommitted changes on top); raises EnvironmentFailed."""
    return await asyncio.to_thread(_pack, path, ref)


def _pack(path: Path, ref: str | None) -> Packed:
    if not path.is_dir():
        raise EnvironmentFailed(f"There is no folder {path} on the server's machine.")
    folder = Path(tempfile.mkdtemp(prefix="hostler-"))
    try:
        return _Packing(path, folder).pack(ref)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


class _Packing:
    """One packing: the original, and a repository of our own beside it."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path = path
        self._folder = folder
        self._own = folder / "repository"
        self._objects = Path()

    def pack(self, ref: str | None) -> Packed:
        code, found, _ = self._git("rev-parse", "--path-format=absolute", "--git-common-dir", "--git-dir")
        if code:
            raise EnvironmentFailed(f"{self._path} is not a git repository.")
        common, own_folder = (Path(line) for line in found.splitlines()[:2])
        self._objects = common / "objects"
        head = self._resolve("HEAD" if ref is None else ref)
        if head is None and ref is not None:
            raise EnvironmentFailed(f"{self._path} has no branch, tag or commit {ref!r}.")
        self._begin()
        commit, notes = (head, ()) if ref is not None else self._with_changes(head, own_folder / "index")
        shallow = (common / "shallow").read_bytes() if (common / "shallow").exists() else b""
        if commit is not None:
            self._write(commit, shallow)
        anchor = None if commit == head else head or ""
        return Packed(self._folder, commit, self._branch(ref), self._origin(), shallow, notes, anchor)

    def _resolve(self, name: str) -> str | None:
        if name.startswith("-"):
            return None
        for spelled in (name, f"refs/remotes/origin/{name}"):
            code, found, _ = self._git("rev-parse", "--quiet", "--verify", f"{spelled}^{{commit}}")
            if code == 0:
                return found.strip()
        return None

    def _branch(self, ref: str | None) -> str | None:
        code, found, _ = self._git("symbolic-ref", "--quiet", "--short", "HEAD")
        if ref is None:
            return found.strip() if code == 0 else None
        code, _, _ = self._git("show-ref", "--quiet", "--verify", f"refs/heads/{ref}")
        return ref if code == 0 else None

    def _origin(self) -> str | None:
        _, found, _ = self._git("config", "--get", "remote.origin.url")
        parts = urlsplit(found.strip())
        return found.strip() if parts.scheme in ("http", "https") and not parts.username else None

    def _begin(self) -> None:
        self._must("init", "--quiet", "--bare", str(self._own), env={"GIT_TEMPLATE_DIR": ""})
        (self._own / "objects" / "info").mkdir(exist_ok=True)
        alternates = [str(self._objects)]
        theirs = self._objects / "info" / "alternates"
        if theirs.exists():
            alternates += [str(self._objects / line) for line in theirs.read_text().splitlines() if line]
        (self._own / "objects" / "info" / "alternates").write_text("".join(f"{line}\n" for line in alternates))

    def _with_changes(self, head: str | None, index: Path) -> tuple[str | None, tuple[str, ...]]:
        """Return the head, or a commit on top of it when the working tree differs."""
        code, _, _ = self._git("rev-parse", "--show-toplevel")
        if code:  # A bare repository has no working tree.
            return head, ()
        # The objects go to our own repository, the index is a copy: the original stays as it is.
        env = {"GIT_INDEX_FILE": str(self._folder / "index"), "GIT_OBJECT_DIRECTORY": str(self._own / "objects")}
        if index.exists():
            shutil.copy(index, self._folder / "index")
        self._must("-C", self._top(), "add", "--all", ".", env=env)
        tree = self._must("write-tree", env=env).strip()
        if head is None:
            if not self._must("ls-files", env=env):
                return None, ()
        elif self._must("rev-parse", f"{head}^{{tree}}").strip() == tree:
            return head, ()
        parent = ("-p", head) if head else ()
        commit = self._must("commit-tree", tree, *parent, "-m", "Uncommitted changes", env={**env, **SIGNATURE}).strip()
        changed = self._must("diff-tree", "-r", "--name-only", "--root", *((head,) if head else ()), commit, env=env)
        count = len(changed.splitlines()) - (0 if head else 1)
        files = "1 file" if count == 1 else f"{count} files"
        return commit, (f"Uncommitted changes in {files} came along as one commit on top.",)

    def _top(self) -> str:
        return self._must("rev-parse", "--show-toplevel").rstrip("\n")

    def _write(self, commit: str, shallow: bytes) -> None:
        if shallow:
            (self._own / "shallow").write_bytes(shallow)
        own = ("--git-dir", str(self._own))
        self._must(*own, "update-ref", f"refs/heads/{BRANCH}", commit)
        self._must(*own, "bundle", "create", "--quiet", str(self._folder / "bundle"), f"refs/heads/{BRANCH}")
        size = (self._folder / "bundle").stat().st_size
        if size > BUNDLE_LIMIT:
            raise EnvironmentFailed(f"{self._path} is too large to bring along: {size >> 20} MiB packed.")

    def _must(self, *words: str, env: Mapping[str, str] | None = None) -> str:
        code, out, err = self._git(*words, env=env)
        if code:
            raise EnvironmentFailed(f"{self._path} could not be packed: {err.strip()[-500:]}")
        return out

    def _git(self, *words: str, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
        """Run git in the original; the server's own git variables would lead it astray."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        variables = {**clean, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8", **(env or {})}
        if env and "GIT_OBJECT_DIRECTORY" in env:
            variables["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = str(self._objects)
        try:
            done = subprocess.run(
                ("git", "-C", str(self._path), *QUIET, *words),
                env=variables,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=GIT_SECONDS,
                check=False,
            )
        except FileNotFoundError as error:
            raise EnvironmentFailed("git is not installed on the server's machine.") from error
        except subprocess.TimeoutExpired as error:
            raise EnvironmentFailed(f"git took too long in {self._path}.") from error
        return done.returncode, os.fsdecode(done.stdout), done.stderr.decode(errors="replace")
