"""Keeping the workspace's changes: a commit beside the repository, and a pack of what is not known outside yet.

Index and objects of our own lie in the supervisor's folder and borrow the repository's, so the user's index, HEAD,
branches and stash stay as they are. A workspace without a repository gets one of its own there. What the pack holds is
enough to show the change from the base outside, where the unchanged files are not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from typing import Any, NamedTuple

from .fences import Refused
from .git import Git
from .outputs import existing, fresh
from .requests import Call

PART = 4 << 20
LISTING = 32 << 20
"""Bytes of git's lists that are read; a workspace with more changed files than fit is not kept."""
LOOSE = 25
"""Loose objects in one of 256 folders at which our store is begun anew."""
NAMED = 10
"""Paths that are named in what was left out; the others are counted."""
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}/[0-9]{1,9}")
EMPTY_TREE = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
COMMITTED = """
head=$1 last=$2 message=$3 whole=whole
shift 3
if [ $# -gt 0 ]; then git add --all --ignore-errors -- "$@" >/dev/null 2>&1 || whole=part; fi
tree=$(git write-tree) || exit 1
if [ "$tree" = "$last" ]; then echo "same $tree $whole"; exit; fi
commit=$(git commit-tree "$tree" ${head:+-p "$head"} -m "$message") || exit 1
echo "$commit $tree $whole"
"""
"""Stages everything, and commits it unless it is the last tree; says commit, tree and whether all could be read."""
SIGNATURE = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Hostler"), ("EMAIL", "hostler@localhost"))
}


class Look(NamedTuple):
    """What `git status` says of the workspace against our index."""

    head: str
    branch: str
    clean: bool
    """Nothing differs from the head."""
    changed: bool
    """Something differs from our index."""
    big: tuple[str, ...]
    ignored: tuple[str, ...]
    nested: tuple[str, ...]
    secret: tuple[str, ...]
    modules: tuple[str, ...]
    """Submodules that are not as their commit in our repository has them."""

    def left_out(self, limit: int) -> list[str]:
        """Return what is not kept, in words."""
        kinds = (
            ("ignored by git", self.ignored),
            (f"larger than {limit >> 20} MiB", self.big),
            ("repositories of their own", self.nested),
            ("changes in repositories of their own", self.modules),
            ("secrets of the environment", self.secret),
        )
        return [f"{what}: {_named(paths)}" for what, paths in kinds if paths]


class Store(NamedTuple):
    """Where git works: under which variables, and the index of the user's repository (none without one)."""

    env: dict[str, str]
    theirs: str = ""


class Change(NamedTuple):
    """What differs between the base and what is kept."""

    base: str
    """Empty: all that is there is the change."""
    files: int
    old: tuple[str, ...]
    """The objects that the change replaces or removes."""


class Keep:
    """Keeps the workspace's changes, one at a time."""

    def __init__(self, git: Git, workspace: str, state: str) -> None:
        self._git = git
        self._workspace = workspace
        self._folder = os.path.join(state, "keep")
        self._lock = asyncio.Lock()
        self._roots: dict[str, str] = {}

    async def keep(self, call: Call) -> None:
        """Commit what is there and send it: first a header that describes it, then the pack in parts."""
        name = call.get("name", str)
        if not NAME.fullmatch(name):
            raise Refused("bad", "name: EXECUTION/TURN")
        base, anchor, known = (_commit(call, field) for field in ("base", "anchor", "known"))
        file_limit, secret = call.get("file_limit", int), frozenset(call.words("without"))
        async with self._lock:
            store = await self._opened()
            look = await self._look(store.env, file_limit, secret)
            commit, tree, whole = await self._committed(store, look, name)
            change = await self._change(store.env, base, commit)
            header: dict[str, Any] = {
                "type": "kept",
                "commit": commit if change.files else "",
                "base": change.base,
                "head": look.head,
                "branch": look.branch,
                "repository": bool(store.theirs),
                "files": change.files,
                "pushed": await self._pushed(store.env, look, base),
                "left_out": look.left_out(file_limit) + ([] if whole else ["files that could not be read"]),
            }
            note = {"head": look.head, "tree": tree, "commit": commit, "index": _signature(store.theirs)}
            self._note(note if whole else {})
            if not change.files or commit == known:
                await call.send({**header, "size": 0})
                return
            self._write_ref(name, commit)
            await self._pack(store.env, commit, change, anchor if change.base else "", known)
            await self._send(call, header, call.get("limit", int))

    # --- the repository beside the repository -------------------------------------------------------------------

    async def _opened(self) -> Store:
        """Return the repository to work in, with an index and objects of our own."""
        self._tidy()
        objects = os.path.join(self._folder, "objects")
        os.makedirs(objects, mode=0o700, exist_ok=True)
        index = os.path.join(self._folder, "index")
        with contextlib.suppress(FileNotFoundError):  # One that a killed git left; nobody else works here.
            os.unlink(f"{index}.lock")
        own = {"GIT_INDEX_FILE": index, "GIT_OBJECT_DIRECTORY": objects, **SIGNATURE}
        if not self._has_repository():
            return Store({**own, **await self._without_repository()})
        folder, common = await self._folders()
        theirs = os.path.join(folder, "index")
        if self._record().get("index") != _signature(theirs):
            with contextlib.suppress(OSError):
                _copy(theirs, index)
        return Store({**own, "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.path.join(common, "objects")}, theirs)

    def _has_repository(self) -> bool:
        return os.path.lexists(os.path.join(self._workspace, ".git"))

    async def _folders(self) -> tuple[str, str]:
        """Return the repository's folder, and the one that it shares with its other working trees."""
        folder = os.path.join(self._workspace, ".git")
        if _is_folder(folder):
            return folder, folder
        code, found = await self._git.run("rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir")
        if code:
            raise Refused("failed", "the workspace's repository is damaged")
        first, _, second = os.fsdecode(found.rstrip(b"\n")).partition("\n")
        return first, second

    async def _without_repository(self) -> dict[str, str]:
        folder = os.path.join(self._folder, "repository")
        if not _is_folder(folder):
            await self._must("init", "--quiet", "--bare", folder, env={"GIT_TEMPLATE_DIR": ""})
        return {"GIT_DIR": folder, "GIT_WORK_TREE": self._workspace}

    def _tidy(self) -> None:
        """Begin anew when many loose objects have gathered: what is kept is outside already."""
        with contextlib.suppress(OSError):
            if len(os.listdir(os.path.join(self._folder, "objects", "17"))) > LOOSE:
                import shutil  # Only now: it would cost at every start.

                shutil.rmtree(self._folder, ignore_errors=True)

    def _record(self) -> dict[str, Any]:
        """Return what the last keeping noted; hostile code may have written it, for whom it is of no use."""
        with contextlib.suppress(OSError, ValueError), open(existing(os.path.join(self._folder, "last"))) as file:
            noted: object = json.load(file)
            if isinstance(noted, dict):
                return noted  # pyright: ignore[reportUnknownVariableType]
        return {}

    def _note(self, values: dict[str, Any]) -> None:
        with open(fresh(os.path.join(self._folder, "last")), "w") as file:
            json.dump(values, file)

    def _write_ref(self, name: str, commit: str) -> None:
        path = os.path.join(self._folder, "refs", "hostler", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(fresh(path), "w") as file:
            file.write(f"{commit}\n")

    # --- what is there ------------------------------------------------------------------------------------------

    async def _look(self, env: dict[str, str], file_limit: int, secret: frozenset[str]) -> Look:
        words = ("status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all", "--ignored=matching")
        code, text = await self._git.run(*words, env=env, limit=LISTING)
        if code:  # An index that only works in its place, such as a split one.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(env["GIT_INDEX_FILE"])
            await self._git.run("read-tree", "HEAD", env=env)
            text = await self._must(*words, env=env, limit=LISTING)
        if len(text) > LISTING:
            raise Refused("failed", "more files are changed than can be listed")
        return self._understood(text, file_limit, secret)

    def _understood(self, text: bytes, file_limit: int, secret: frozenset[str]) -> Look:
        head, branch, clean, changed = "", "", True, False
        big: list[str] = []
        ignored: list[str] = []
        nested: list[str] = []
        hidden: list[str] = []
        modules: list[str] = []
        rows = iter(os.fsdecode(text).split("\0"))
        for row in rows:
            kind, _, rest = row.partition(" ")
            if kind == "#":
                field, _, value = rest.partition(" ")
                head = value if field == "branch.oid" and value != "(initial)" else head
                branch = value if field == "branch.head" and value != "(detached)" else branch
            elif kind == "!":
                ignored.append(rest)
            elif kind in ("1", "2", "u", "?"):
                path = rest if kind == "?" else rest.split(" ", {"1": 7, "2": 8, "u": 9}[kind])[-1]
                if kind in ("1", "2") and rest[3] == "S" and rest[4:7] != "...":
                    modules.append(path)
                if kind == "2":
                    next(rows, None)  # The path it was renamed from.
                if path in secret:
                    hidden.append(path)
                    continue
                clean = False
                if kind == "?" and path.endswith("/"):
                    nested.append(path)
                elif kind in ("?", "u") or rest[1] != ".":
                    changed = True
                    if self._size(path) > file_limit:
                        big.append(path)
        lists = (tuple(one) for one in (big, ignored, nested, hidden, modules))
        return Look(head, branch, clean, changed, *lists)

    def _size(self, path: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            return os.lstat(os.path.join(self._workspace, path)).st_size
        return 0

    # --- committing ---------------------------------------------------------------------------------------------

    async def _committed(self, store: Store, look: Look, name: str) -> tuple[str, str, bool]:
        """Return the commit that holds what is there, its tree, and whether all could be read."""
        record = self._record()
        commit, tree = (str(record.get(field, "")) for field in ("commit", "tree"))
        same = record.get("head") == look.head and bool(COMMIT.fullmatch(commit) and COMMIT.fullmatch(tree))
        if same and not look.changed and record.get("index") == _signature(store.theirs):
            return commit, tree, True
        out = (f":(top,exclude,literal){path.rstrip('/')}" for path in (*look.big, *look.nested, *look.secret))
        paths = (":/", *out) if look.changed else ()
        words = (look.head, tree if same else "", f"Hostler: work kept as {name}", *paths)
        code, said = await self._git.script(COMMITTED, *words, env=store.env)
        told = said.decode().split()
        if code or len(told) != 3:
            raise Refused("failed", "the workspace's changes could not be committed")
        return told[0] if told[0] != "same" else commit, told[1], told[2] == "whole"

    async def _change(self, env: dict[str, str], base: str, commit: str) -> Change:
        """Return what differs from the base; one that the repository does not know any more counts as empty."""
        words = ("diff-tree", "-r", "-t", "-z", "--raw", "--no-abbrev", "--no-renames")
        code, rows = 1, b""
        if base:
            code, rows = await self._git.run(*words, base, commit, env=env, limit=LISTING)
        if code:
            base = ""
            rows = await self._must(*words, EMPTY_TREE[len(commit)], commit, env=env, limit=LISTING)
        if len(rows) > LISTING:
            raise Refused("failed", "more files are changed than can be listed")
        files, old = 0, list[str]()
        for row in rows.split(b"\0")[::2]:
            if row.startswith(b":"):
                mode, new_mode, before, _, _ = row[1:].decode().split(" ")
                files += "040000" not in (mode, new_mode)
                if mode not in ("000000", "160000"):
                    old.append(before)
        return Change(base, files, tuple(old))

    async def _pushed(self, env: dict[str, str], look: Look, base: str) -> bool:
        """Return whether all of it is also in a branch that was fetched or pushed, as far as the inside knows."""
        if not look.clean or not look.head:
            return False
        if look.head == base:
            return True
        words = ("for-each-ref", "--count=1", "--contains", look.head, "refs/remotes")
        return bool((await self._git.run(*words, env=env))[1])

    # --- sending ------------------------------------------------------------------------------------------------

    async def _pack(self, env: dict[str, str], commit: str, change: Change, anchor: str, known: str) -> None:
        """Write what the commit has and neither `anchor` nor `known` have, and what the change replaces."""
        tips = [commit, *([change.base] if change.base != anchor else [])]
        without = [f"^{one}" for one in (anchor, known) if one]
        # Edges: a commit that is known outside need not be an ancestor, and its files are known all the same.
        words = ("rev-list", "--objects-edge-aggressive", "--no-object-names", "--ignore-missing", *tips, *without)
        listed = (await self._must(*words, env=env, limit=LISTING)).decode().split("\n")
        if sum(map(len, listed)) > LISTING:
            raise Refused("failed", "more is changed than can be listed")
        wanted = [one for one in listed if one and not one.startswith("-")] + list(change.old)
        if change.base:
            wanted += [change.base, await self._root(env, change.base)]
        await self._write_pack(env, wanted)

    async def _root(self, env: dict[str, str], base: str) -> str:
        if base not in self._roots:
            root = await self._must("rev-parse", f"{base}^{{tree}}", env=env)
            self._roots[base] = root.decode().strip()
        return self._roots[base]

    async def _write_pack(self, env: dict[str, str], objects: list[str]) -> None:
        source, target = self._list(objects), fresh(os.path.join(self._folder, "pack"))
        try:
            words = ("pack-objects", "--stdout", "--quiet", "--delta-base-offset", "--threads=1")
            code, _ = await self._git.run(*words, env=env, source=source, out=target)
        finally:
            os.close(source)
            os.close(target)
        if code:
            raise Refused("failed", "the changes could not be packed")

    def _list(self, objects: list[str]) -> int:
        """Return a descriptor from which the objects' names are read."""
        names = os.path.join(self._folder, "wanted")
        with open(fresh(names), "w") as file:
            file.write("".join(f"{one}\n" for one in objects))
        return existing(names)

    async def _send(self, call: Call, header: dict[str, Any], limit: int) -> None:
        path = os.path.join(self._folder, "pack")
        file = existing(path)
        try:
            size = os.fstat(file).st_size
            if size > limit:
                raise Refused("failed", f"the changes are too large to be kept: {size >> 20} MiB packed")
            await call.send({**header, "size": size})
            while part := os.read(file, PART):
                await call.send({"type": "part"}, part)
        finally:
            os.close(file)
            os.unlink(path)

    async def _must(self, *words: str, env: dict[str, str], limit: int = 8 << 20) -> bytes:
        code, data = await self._git.run(*words, env=env, limit=limit)
        if code:
            raise Refused("failed", f"git {words[0]} failed in the workspace")
        return data


def _commit(call: Call, field: str) -> str:
    value = call.get(field, str)
    if value and not COMMIT.fullmatch(value):
        raise Refused("bad", f"{field}: not a commit")
    return value


def _signature(index: str) -> list[int]:
    """Return what tells one state of the user's index from another."""
    with contextlib.suppress(OSError):
        info = os.stat(index)
        return [info.st_ino, info.st_size, info.st_mtime_ns]
    return []


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)


def _copy(source: str, target: str) -> None:
    with open(existing(source), "rb") as old, open(fresh(target), "wb") as new:
        new.write(old.read())


def _named(paths: tuple[str, ...]) -> str:
    shown = ", ".join(path.encode(errors="replace").decode() for path in paths[:NAMED])
    return f"{shown} and {len(paths) - NAMED} more" if len(paths) > NAMED else shown
