"""What has changed in the workspace's repository; git runs here, inside, where its hooks and filters can do no harm."""

from __future__ import annotations

import asyncio
import contextlib
import os

from .fences import Refused
from .keepers import Spec
from .outputs import PIPE_READ, existing
from .processes import Processes, SpawnFailed
from .requests import Call

GROUP = "/git"
SECONDS = 60.0
QUIET = ("-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "-c", "core.hooksPath=/dev/null")


class Git:
    """Runs git in the workspace, outside of any execution's group."""

    def __init__(self, processes: Processes, workspace: str) -> None:
        self._processes = processes
        self._workspace = workspace

    async def run(
        self,
        *words: str,
        env: dict[str, str] | None = None,
        limit: int = 8 << 20,
        source: int | None = None,
        out: int | None = None,
    ) -> tuple[int, bytes]:
        """Return exit code and output; more output than `limit` is cut after one byte more.

        `source` and `out` are descriptors of files to read from and to write to instead.
        """
        return await self._perform(("git", *QUIET, *words), env, limit, source, out)

    async def script(self, text: str, *words: str, env: dict[str, str]) -> tuple[int, bytes]:
        """Run several of git's commands as one program, which costs less than each by itself."""
        settings = [part.split("=", 1) for part in QUIET if part != "-c"]
        variables = {**env, "GIT_CONFIG_COUNT": str(len(settings))}
        for number, (name, value) in enumerate(settings):
            variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        return await self._perform(("/bin/sh", "-c", text, "sh", *words), variables, 8 << 20, None, None)

    async def _perform(
        self, argv: tuple[str, ...], env: dict[str, str] | None, limit: int, source: int | None, out: int | None
    ) -> tuple[int, bytes]:
        read, write = os.pipe()
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        variables = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", **(env or {})}
        spec = Spec(argv, self._workspace, variables)
        try:
            streams = (null if source is None else source, write if out is None else out, null)
            child = self._processes.start(GROUP, spec, streams)
        except SpawnFailed as error:
            os.close(read)
            raise Refused("failed", str(error)) from error
        finally:
            os.close(write)
            os.close(null)
        try:
            data = await asyncio.wait_for(_collect(read, limit + 1), SECONDS)
            if len(data) > limit:
                return 0, data
            status = await asyncio.wait_for(asyncio.shield(child.ended), SECONDS)
        except TimeoutError as error:
            raise Refused("failed", "git did not answer in time") from error
        except SpawnFailed as error:
            raise Refused("failed", str(error)) from error
        finally:
            await self._processes.kill([child])
        return (os.WEXITSTATUS(status) if status is not None and os.WIFEXITED(status) else 1), data

    async def status(self, call: Call) -> None:
        """Send branch, head and changed paths, as git's own porcelain text."""
        code, text = await self.run("status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all")
        if code:
            raise Refused("file", "the workspace is not a git repository", problem="not_found")
        await call.send({"type": "status"}, text)

    async def diff(self, call: Call) -> None:
        """Send the patch from a base to what is in the workspace now, untracked files included."""
        base = call.get("base", str) or "HEAD"
        limit = min(call.get("limit", int), 32 << 20)
        if base.startswith("-"):
            raise Refused("bad", "base: not a commit")
        code, found = await self.run("rev-parse", "--absolute-git-dir")
        if code:
            raise Refused("file", "the workspace is not a git repository", problem="not_found")
        import tempfile  # Only now: it costs a tenth of the supervisor's start.

        with tempfile.TemporaryDirectory() as aside:
            code, patch = await self._patch(os.fsdecode(found.strip()), aside, base, limit)
        if code:
            raise Refused("file", f"git knows no commit {base}", problem="not_found")
        await call.send({"type": "patch", "cut": len(patch) > limit}, patch[:limit])

    async def _patch(self, folder: str, aside: str, base: str, limit: int) -> tuple[int, bytes]:
        """Stage everything into an index and an object store of our own, so that the repository stays as it is."""
        with contextlib.suppress(OSError):
            _copy(os.path.join(folder, "index"), os.path.join(aside, "index"))
        env = {
            "GIT_INDEX_FILE": os.path.join(aside, "index"),
            "GIT_OBJECT_DIRECTORY": os.path.join(aside, "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.path.join(folder, "objects"),
        }
        os.mkdir(env["GIT_OBJECT_DIRECTORY"])
        await self.run("add", "--all", "--ignore-errors", ".", env=env)
        words = ("diff", "--cached", "--binary", "--no-ext-diff", "--no-textconv", "--no-color", base, "--")
        return await self.run(*words, env=env, limit=limit)


def _copy(source: str, target: str) -> None:
    with open(existing(source), "rb") as old, open(target, "wb") as new:
        new.write(old.read())


async def _collect(pipe: int, limit: int) -> bytes:
    """Read a pipe to its end, or to `limit` bytes."""
    loop, data, done = asyncio.get_running_loop(), bytearray(), asyncio.Event()
    os.set_blocking(pipe, False)

    def move() -> None:
        try:
            part = os.read(pipe, PIPE_READ)
        except BlockingIOError:
            return
        data.extend(part)
        if not part or len(data) >= limit:
            done.set()
            loop.remove_reader(pipe)

    loop.add_reader(pipe, move)
    try:
        await done.wait()
        return bytes(data)
    finally:
        loop.remove_reader(pipe)
        os.close(pipe)
