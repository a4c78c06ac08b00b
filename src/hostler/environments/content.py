"""Bringing a repository into an environment, and saying what went wrong in words that help.

A remote repository is cloned inside, through the egress proxy. A repository on this machine is packed by
`hostler.environments.bundles` and unpacked inside. Every step is an operation with an id of its own, so that a crashed
server simply asks for all of them again.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from hostler.core.errors import EnvironmentFailed, NotAuthenticated
from hostler.core.machines import Command, ExecResult, Exited, Machine, Operation, TimedOut
from hostler.core.providers import (
    KeptSource,
    LocalRepository,
    NetworkPolicy,
    RemoteRepository,
    Scratch,
    Source,
    Workspace,
)
from hostler.environments import bundles
from hostler.environments.egress import Refusal, Target, permit

CLONE_SECONDS = 900.0
PART = 16 << 20
COMMIT = re.compile(r"[0-9a-f]{7,64}")
SSH = re.compile(r"(?:ssh://)?(?:[\w.-]+@)([\w.-]+)(?::\d+/|[:/])(.+)")
NO_DEPTH = "does not support shallow"


@dataclass(frozen=True, slots=True)
class Site:
    """Where content is brought to: a machine, for whom, and which hosts may be reached from there."""

    machine: Machine
    operation: Operation
    """Its id is the beginning of each step's."""
    incarnation: str
    network: NetworkPolicy = field(default_factory=NetworkPolicy)
    refused: Callable[[], str | None] = lambda: None
    """Returns the egress proxy's last refusal."""
    mirror: str = ""
    """A mirror of the repository that is seen inside, whose objects are borrowed."""
    damaged: Callable[[], None] = lambda: None
    """Told that a clone failed with the mirror and succeeded without it."""

    async def git(self, step: str, *words: str) -> ExecResult:
        """Run git inside as one step."""
        # The egress proxy decides about every host here, also about one that is this machine for the server.
        through_proxy = {"NO_PROXY": "", "no_proxy": ""}
        command = Command(("git", *words), timeout=CLONE_SECONDS, merge=False, env=through_proxy)
        step_operation = replace(self.operation, id=f"{self.operation.id}/{step}")
        return await self.machine.exec(step_operation, command, incarnation=self.incarnation)

    async def must(self, step: str, *words: str, what: str = "git failed") -> str:
        """Run git as one step and return its output; raises EnvironmentFailed."""
        result = await self.git(step, *words)
        if result.outcome != Exited(0):
            raise EnvironmentFailed(f"{what}: {_said(result)}")
        return _text(result.out.head + result.out.tail)


async def bring(site: Site, source: Source) -> Workspace:
    """Fill the workspace; raises EnvironmentFailed with what a person can do about it."""
    match source:
        case Scratch():
            return Workspace(None)
        case RemoteRepository():
            return await _clone(site, source)
        case KeptSource():
            return await bring(site, source.below)
        case LocalRepository():
            return await _unpack(site, source)


def address_of(url: str) -> str:
    """Return the https or http address of a repository; an SSH one is rewritten. Raises EnvironmentFailed."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        if found := SSH.fullmatch(url):
            return f"https://{found[1]}/{found[2]}"
        raise EnvironmentFailed(f"{url} is not an https or http address of a repository.")
    if parts.username or parts.password:
        raise EnvironmentFailed(
            "Take the user name and password out of the repository's address: they would be readable."
        )
    if not parts.hostname:
        raise EnvironmentFailed(f"{url} names no host.")
    return urlunsplit(parts._replace(fragment=""))


def host_of(url: str) -> str:
    """Return HOST:PORT of a repository's address, as an allow list names it."""
    parts = urlsplit(address_of(url))
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


async def _clone(site: Site, source: RemoteRepository) -> Workspace:
    """Clone, and once more without the mirror when that stands in the way."""
    url = address_of(source.url)
    _check_allowed(url, site.network)
    try:
        return await _cloned(site, url, source)
    except NotAuthenticated:
        raise
    except EnvironmentFailed:
        if not site.mirror:
            raise
        await _run(site, "without-mirror", "find", ".", "-mindepth", "1", "-delete")
        alone = replace(site, mirror="", operation=replace(site.operation, id=f"{site.operation.id}/alone"))
        workspace = await _cloned(alone, url, source)
        site.damaged()
        return workspace


async def _borrow(site: Site) -> None:
    """Let the repository take what it can from the mirror."""
    script = 'mkdir -p .git/objects/info && printf "%s/objects\\n" "$0" > .git/objects/info/alternates'
    await _run(site, "borrow", "/bin/sh", "-c", script, site.mirror)


async def _cloned(site: Site, url: str, source: RemoteRepository) -> Workspace:
    await _prepare(site, url)
    if site.mirror:
        await _borrow(site)
        source = replace(source, shallow=False)
    refs = await _remote_refs(site, url, source.ref)
    if not refs and source.ref is None:
        return Workspace(None, notes=("The repository is empty.",))
    fetch, branch = _choose(refs, source.ref)
    if fetch is None:
        return await _clone_commit(site, url, source)
    depth = ("--depth=1",) if source.shallow else ()
    await _fetch(site, "fetch", url, depth, fetch)
    return await _check_out(site, "FETCH_HEAD", source.branch or branch)


async def _prepare(site: Site, url: str | None) -> None:
    await site.must("init", "init", "--quiet", ".")
    if url:
        await site.must("origin", "config", "remote.origin.url", url)
        await site.must("refspec", "config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")


def _check_allowed(url: str, network: NetworkPolicy) -> None:
    host, _, port = host_of(url).rpartition(":")
    try:
        permit(Target(host, int(port)), network)
    except Refusal as refusal:
        raise EnvironmentFailed(f"{refusal} Add {host} to the allowed hosts of the environment's class.") from refusal


async def _remote_refs(site: Site, url: str, ref: str | None) -> dict[str, str]:
    """Return the remote's refs that may be meant; HEAD's value is the branch it stands for."""
    wanted = ("HEAD",) if ref is None else ("HEAD", ref, f"refs/heads/{ref}", f"refs/tags/{ref}")
    result = await site.git("list", "ls-remote", "--symref", "origin", *wanted)
    if result.outcome != Exited(0):
        raise failure(result, url, site.refused())
    refs: dict[str, str] = {}
    for line in _text(result.out.head + result.out.tail).splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: "):
            refs["HEAD"] = value[5:]
        else:
            refs.setdefault(name, value)
    return refs


def _choose(refs: dict[str, str], ref: str | None) -> tuple[str | None, str | None]:
    """Return the ref to fetch and the local branch to make of it; no ref: it may be a commit."""
    if ref is None:
        head = refs.get("HEAD", "HEAD")
        return ("HEAD", None) if not head.startswith("refs/heads/") else (head, head.removeprefix("refs/heads/"))
    if f"refs/heads/{ref}" in refs:
        return f"refs/heads/{ref}", ref
    if f"refs/tags/{ref}" in refs:
        return f"refs/tags/{ref}", None
    if ref in refs and ref.startswith("refs/"):
        return ref, ref.removeprefix("refs/").removeprefix("heads/").removesuffix("/head")
    if COMMIT.fullmatch(ref.lower()):
        return None, None
    raise EnvironmentFailed(f"The repository has no branch, tag or commit {ref!r}.")


async def _fetch(site: Site, step: str, url: str, depth: tuple[str, ...], *refs: str) -> None:
    heads = "refs/heads/"
    tracked = [
        f"+{ref}:refs/remotes/origin/{ref.removeprefix(heads)}" if ref.startswith(heads) else ref for ref in refs
    ]
    result = await site.git(step, "fetch", "--quiet", "--no-tags", *depth, "origin", *tracked)
    if depth and NO_DEPTH in _text(result.err.head):
        result = await site.git(f"{step}-whole", "fetch", "--quiet", "--no-tags", "origin", *tracked)
    if result.outcome != Exited(0):
        raise failure(result, url, site.refused())


async def _clone_commit(site: Site, url: str, source: RemoteRepository) -> Workspace:
    """Fetch one commit; servers that do not hand out single commits give everything instead."""
    commit = str(source.ref).lower()
    if source.shallow and len(commit) >= 40:
        result = await site.git("fetch", "fetch", "--quiet", "--no-tags", "--depth=1", "origin", commit)
        if result.outcome == Exited(0):
            return await _check_out(site, commit, source.branch)
    await _fetch(site, "everything", url, (), "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
    if (await site.git("known", "rev-parse", "--quiet", "--verify", f"{commit}^{{commit}}")).outcome != Exited(0):
        raise EnvironmentFailed(f"The repository has no branch, tag or commit {source.ref!r}.")
    return await _check_out(site, commit, source.branch)


async def _check_out(site: Site, commit: str, branch: str | None, notes: tuple[str, ...] = ()) -> Workspace:
    words = ("checkout", "--quiet", "--force", *(("-B", branch) if branch else ("--detach",)), commit)
    await site.must("checkout", *words, what="The commit could not be checked out")
    base = await site.must("base", "rev-parse", "HEAD")
    return Workspace(base.strip(), branch, notes)


async def _unpack(site: Site, source: LocalRepository) -> Workspace:
    packed = await bundles.pack(Path(source.path), source.ref)
    try:
        await _prepare(site, packed.origin)
        if packed.commit is None:
            return Workspace(None, packed.branch, packed.notes)
        await _send(site, packed.file, ".git/hostler.bundle")
        if packed.shallow:
            shallow = replace(site.operation, id=f"{site.operation.id}/shallow")
            await site.machine.write(shallow, ".git/shallow", packed.shallow, incarnation=site.incarnation)
        fetched = f"+refs/heads/*:{bundles.ARRIVED}/*"
        await site.must("unpack", "fetch", "--quiet", "--no-tags", ".git/hostler.bundle", fetched)
        await site.git("forget", "update-ref", "-d", f"{bundles.ARRIVED}/{bundles.BRANCH}")
        there = await _check_out(site, packed.commit, source.branch or packed.branch, packed.notes)
        result = replace(there, anchor=packed.anchor)
        await _run(site, "tidy", "rm", "-f", ".git/hostler.bundle")
        return result
    finally:
        packed.discard()


async def _send(site: Site, file: Path, path: str) -> None:
    """Write a file of any size inside, in parts that are joined there."""
    parts: list[str] = []
    with file.open("rb") as whole:
        while data := whole.read(PART):
            parts.append(f"{path}.{len(parts):05}")
            operation = replace(site.operation, id=f"{site.operation.id}/part-{len(parts)}")
            await site.machine.write(operation, parts[-1], data, incarnation=site.incarnation)
    await _run(site, "join", "/bin/sh", "-c", 'cat "$0".[0-9]* > "$0" && rm -f "$0".[0-9]*', path)


FULL = ("File size limit exceeded", "No space left on device", "Disk quota exceeded")
"""What programs say that have no room."""


async def _run(site: Site, step: str, *argv: str) -> None:
    operation = replace(site.operation, id=f"{site.operation.id}/{step}")
    result = await site.machine.exec(operation, Command(argv, timeout=CLONE_SECONDS), incarnation=site.incarnation)
    if result.outcome != Exited(0):
        said = _said(result)
        if any(sign in said for sign in FULL):
            said = f"it does not fit into the environment's disk ({said}); choose a class with a larger disk_gib"
        raise EnvironmentFailed(f"The repository could not be brought in: {said}")


STATUS = re.compile(r"(?:error|response)\D{0,3}(\d{3})\b", re.IGNORECASE)
"""The HTTP status in what git and curl say: "returned error: 404", "tunnel failed, response 403"."""

TOLD = re.compile(r"hostler egress: ([^\n]+)")
"""What the git proxy says; git shows it when it gives up."""
UNKNOWN = "not authenticated"
"""Clients look for these words."""


def failure(result: ExecResult, url: str, refused: str | None) -> EnvironmentFailed:
    """Return the error for a repository that could not be reached or read."""
    said = explain(result, url, refused)
    return NotAuthenticated(said, url) if said.startswith(UNKNOWN) else EnvironmentFailed(said)


def explain(result: ExecResult, url: str, refused: str | None) -> str:
    """Return why git could not reach or read a repository, and what to do."""
    said = _text(result.err.head + result.err.tail)
    low, codes = said.lower(), set(STATUS.findall(said))
    host = host_of(url).rpartition(":")[0]
    if result.outcome == TimedOut():
        return f"{url} did not arrive within {CLONE_SECONDS:.0f} seconds."
    if told := TOLD.search(said):
        return f"{told[1]} (while cloning {url})"
    if refused and codes & {"403", "502"}:
        return f"{refused} (while cloning {url})"
    if "authentication failed" in low or "could not read username" in low or codes & {"401", "403"}:
        where = urlsplit(url).netloc
        reason = f"{UNKNOWN}: {url} asks for a credential, and there is none for {where}"
        return f"{reason}; store one with `hostler secret set {where}`"
    if "not found" in low or "404" in codes:
        return f"There is no repository at {url}, or it is private."
    if "could not resolve" in low or "502" in codes:
        return f"{host} cannot be reached: its name is not known here, or nobody answers."
    return f"{url} could not be cloned: {said[-500:].strip()}"


def _said(result: ExecResult) -> str:
    return _text(result.err.tail or result.err.head or result.out.tail or result.out.head)[-500:].strip() or "no output"


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
