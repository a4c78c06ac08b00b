"""Making a workspace again from what was kept of it: what it was made from, and the kept commit on top."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from hostler.core.errors import EnvironmentFailed
from hostler.core.machines import Command, ExecResult, Exited, Machine, Operation
from hostler.core.providers import EnvSpec, KeptSource, Workspace
from hostler.environments.keeping import KeptWork

Bring = Callable[[Machine, EnvSpec, int], Awaitable[Workspace]]
PART = 16 << 20
SECONDS = 300.0
ASIDE = ".hostler-restore"
"""Where the pack lies in the workspace until it is unpacked."""
REPOSITORY = """
set -e
aside=$1 commit=$2 head=$3 branch=$4
[ -e .git ] || git init -q .
cat "$aside"/pack.* | git index-pack --stdin >/dev/null
rm -rf "$aside"
git check-ref-format "refs/heads/$branch" || branch=
git checkout -q --force --detach "$commit"
if [ -n "$head" ]; then
    git reset -q --mixed "$head"
    if [ -n "$branch" ]; then
        git update-ref "refs/heads/$branch" "$head"
        git symbolic-ref HEAD "refs/heads/$branch"
    fi
else
    git symbolic-ref HEAD "refs/heads/${branch:-main}"
    git read-tree --empty
fi
"""
"""The kept commit's files over its parent, so that what was not committed is not committed again either."""
FILES = """
set -e
aside=$1 commit=$2
git init -q --bare "$aside/git"
cat "$aside"/pack.* | git --git-dir="$aside/git" index-pack --stdin >/dev/null
git --git-dir="$aside/git" --work-tree=. checkout -q --force "$commit" -- .
rm -rf "$aside"
"""


class Restoring:
    """Brings content as before, and kept work too."""

    def __init__(self, bring: Bring, kept: KeptWork) -> None:
        self._bring = bring
        self._kept = kept

    async def bring(self, machine: Machine, spec: EnvSpec, tries: int) -> Workspace:
        """Fill a workspace; raises EnvironmentFailed with what a person can do about it."""
        source = spec.source
        if not isinstance(source, KeptSource):
            return await self._bring(machine, spec, tries)
        if not await self._kept.has(source.execution, source.commit):
            raise EnvironmentFailed(f"what was kept of execution {source.execution} is not there any more")
        try:
            below = await self._bring(machine, replace(spec, source=source.below), tries)
        except EnvironmentFailed as problem:
            raise EnvironmentFailed(
                f"{problem.message} (The kept work lies on commit {source.anchor[:12]}, which has to come from there; "
                f"the change itself is safe: hostler diff {source.execution})"
            ) from problem
        await self._unpack(machine, f"content/{spec.id}", f"restore-{tries}", source)
        files = "1 file" if source.files == 1 else f"{source.files} files"
        note = f"Made again from the work of execution {source.execution} as turn {source.turn} left it: {files}."
        return Workspace(source.base or None, source.branch or None, (*below.notes, note), source.anchor)

    async def _unpack(self, machine: Machine, owner: str, name: str, source: KeptSource) -> None:
        incarnation = await machine.register(owner, 1)
        async with self._kept.packed(source.execution) as pack:
            await _send(machine, Operation(owner, 1, name), incarnation, pack)
        script = REPOSITORY if source.repository else FILES
        argv = ("/bin/sh", "-c", script, "sh", ASIDE, source.commit, source.head, source.branch)
        command = Command(argv, timeout=SECONDS, env={"GIT_TERMINAL_PROMPT": "0"})
        result = await machine.exec(Operation(owner, 1, f"{name}/unpack"), command, incarnation=incarnation)
        if result.outcome != Exited(0):
            raise EnvironmentFailed(f"The kept work could not be brought in: {_said(result)}")


async def _send(machine: Machine, operation: Operation, incarnation: str, pack: Path) -> None:
    with pack.open("rb") as file:
        for number, data in enumerate(iter(lambda: file.read(PART), b"")):
            step = replace(operation, id=f"{operation.id}/part-{number}")
            await machine.write(step, f"{ASIDE}/pack.{number:05}", data, incarnation=incarnation)


def _said(result: ExecResult) -> str:
    return (result.out.tail or result.out.head).decode(errors="replace")[-500:].strip() or "it said nothing"
