"""Git on the server's side, in repositories of Hostler's own: no user's settings, no hooks, bounded time and memory.

What such a repository holds came from elsewhere and is not trusted: nothing in it names a program to run.
"""

import asyncio
import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hostler.core.errors import EnvironmentFailed

SECONDS = 120.0
MEMORY_KIB = 4 << 20
"""Address space of one git, in KiB: what arrives may claim to be of any size."""
CONFIG = (
    "[core]\n\tbare = true\n\trepositoryformatversion = {version}\n\thooksPath = /dev/null\n\tfsmonitor = false\n"
    "\tattributesFile = /dev/null\n\tlogAllRefUpdates = false\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"
    "[pack]\n\tthreads = 1\n[protocol]\n\tallow = never\n"
)
SHARED = "[core]\n\tsharedRepository = 0644\n"
"""For repositories that environments read under users of their own."""
SHA256 = "[extensions]\n\tobjectFormat = sha256\n"
LIMITED = f'ulimit -v {MEMORY_KIB} 2>/dev/null; exec git "$@"'


@dataclass(frozen=True, slots=True)
class Done:
    """How a git ended and what it said; `cut` says that it said more than was asked for."""

    code: int
    out: bytes
    said: str
    cut: bool = False


def make(folder: Path, *, sha256: bool = False, shared: bool = False) -> None:
    """Make an empty bare repository, readable for others when it is shared; repeating it is fine."""
    for part in ("", "objects", "objects/info", "objects/pack", "refs", "refs/heads"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        if shared:
            (folder / part).chmod(0o755)
    if not (folder / "HEAD").exists():
        text = CONFIG.format(version=int(sha256)) + (SHA256 if sha256 else "") + (SHARED if shared else "")
        (folder / "config").write_text(text)
        (folder / "HEAD").write_text("ref: refs/heads/none\n")
        for name in ("config", "HEAD") if shared else ():
            (folder / name).chmod(0o644)


async def run(
    folder: Path,
    *words: str,
    stdin: Path | None = None,
    into: Path | None = None,
    env: Mapping[str, str] | None = None,
    limit: int = 8 << 20,
    seconds: float = SECONDS,
) -> Done:
    """Run git in a repository of our own, and return its output up to `limit` bytes; raises EnvironmentFailed.

    Large output goes `into` a file instead, past our own memory.
    """
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(stdin.open("rb")) if stdin else asyncio.subprocess.DEVNULL
        target = stack.enter_context(into.open("wb")) if into else asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", LIMITED, "git", "--git-dir", str(folder), *words),
            cwd="/",
            env={**_environment(), **(env or {})},
            stdin=source,
            stdout=target,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(seconds):
            out, said = await asyncio.gather(_upto(child.stdout, limit), _upto(child.stderr, 64 << 10))
            code = 0 if len(out) > limit else await child.wait()
    except TimeoutError:
        raise EnvironmentFailed(f"git {words[0]} did not come to an end in {seconds:.0f} seconds") from None
    finally:
        await _end(child)
    if code == 127:
        raise EnvironmentFailed("git is not installed on the server's machine.")
    return Done(code, out[:limit], said.decode(errors="replace").strip()[-1000:], len(out) > limit)


async def must(folder: Path, *words: str, stdin: Path | None = None, seconds: float = SECONDS) -> bytes:
    """Run git and return what it printed; raises EnvironmentFailed with its complaint."""
    done = await run(folder, *words, stdin=stdin, seconds=seconds)
    if done.code:
        raise EnvironmentFailed(f"git {words[0]}: {done.said or 'it failed'}")
    return done.out


def _environment() -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
    }


async def _upto(stream: asyncio.StreamReader | None, limit: int) -> bytes:
    """Read a stream to its end, or a little beyond the limit; nothing of what goes elsewhere."""
    parts, size = list[bytes](), 0
    while stream and size <= limit and (part := await stream.read(1 << 20)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


async def _end(child: asyncio.subprocess.Process) -> None:
    """Kill a git that still runs, with what it started."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, 9)
        await child.wait()
