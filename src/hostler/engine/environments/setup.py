"""Setup and lifecycle commands of an environment: each run once, or once a start, as operations of its supervisor.

What became of each is in the row, written before it begins and after it ended. A command that was under way when the
server died is joined again by its operation id; one that died with its supervisor is run again, and that is said.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

from hostler.core.devcontainer import (
    LONGEST,
    PLACES,
    BadDevContainer,
    DevContainer,
    Hook,
    Surroundings,
    parse,
)
from hostler.core.errors import EnvironmentFailed
from hostler.core.machines import (
    Cancelled,
    Command,
    ExecResult,
    Exited,
    FileProblem,
    Machine,
    OnOutput,
    Operation,
    Outcome,
    Signalled,
    Stream,
    TimedOut,
)
from hostler.core.ports import EnvironmentRow
from hostler.core.providers import Scratch
from hostler.engine.environments.journal import Journal
from hostler.engine.environments.rows import Ledger
from hostler.engine.environments.shape import devcontainer_of, source_of

SECONDS = 3600.0
"""How long one command may take."""
SHOWN = 400
"""Characters of a failed command's last words that the status tells."""
PARSED = TypeAdapter(DevContainer)
FOLDER = ".devcontainer"


@dataclass(frozen=True, slots=True)
class Site:
    """Where commands run: one life of an environment's supervisor, which has admitted us."""

    environment: str
    machine: Machine
    incarnation: str
    folder: str = "."
    variables: Mapping[str, str] | None = None

    @property
    def group(self) -> str:
        """Return the execution under which the supervisor knows these commands."""
        return f"setup/{self.environment}"

    async def run(
        self, operation: str, command: Command, *, on_output: OnOutput | None = None, offset: int = 0
    ) -> ExecResult:
        """Run, join or replay a command."""
        asked = Operation(self.group, 1, operation)
        return await self.machine.exec(asked, command, incarnation=self.incarnation, on_output=on_output, offset=offset)


class Setup:
    """Reads what is to be run, runs it and notes what became of it."""

    def __init__(self, ledger: Ledger, journal: Journal) -> None:
        self._ledger = ledger
        self._journal = journal

    async def entered(self, environment: str, machine: Machine) -> Site:
        """Return a place for commands."""
        site = Site(environment, machine, "")
        return Site(environment, machine, await machine.register(site.group, 1))

    async def read(self, row: EnvironmentRow, site: Site, *, anew: bool = False) -> Mapping[str, Any]:
        """Return what the repository's devcontainer.json asks for, as the row keeps it; empty when there is none.

        `anew` looks also where the workspace began empty, as somebody may have written one.
        """
        asked = str(row.spec.get("devcontainer", ""))
        if not asked and not anew and isinstance(source_of(row), Scratch):
            return {}
        path, text = await _found(site.machine, asked)
        if text is None:
            missing = f"{asked or path}: {'there is no such file' if asked else 'it cannot be read'}"
            return {"path": asked, "problem": missing} if asked or path else {}
        try:
            parsed = await asyncio.to_thread(parse, path, text, await _around(site))
        except BadDevContainer as problem:
            return {"path": path, "problem": f"{path}: {problem}"}
        return asdict(parsed)

    async def run(self, row: EnvironmentRow, commands: Sequence[str], site: Site) -> EnvironmentRow:
        """Run what has not been run: once the setup commands and the repository's, and what belongs to each start.

        A command that fails keeps those behind it from running; the environment stays usable and the row says so.
        """
        said = devcontainer_of(row)
        asked = PARSED.validate_python(said) if said.get("once") or said.get("each_start") else DevContainer("")
        own = [Hook(f"setup-{n}", ((f"setup-{n}", ("/bin/sh", "-c", one)),)) for n, one in enumerate(commands, 1)]
        site = Site(site.environment, site.machine, site.incarnation, asked.folder or ".", asked.remote)
        if await self._all(site, (*own, *asked.once), "once"):
            await self._all(site, asked.each_start, f"start/{site.incarnation}")
        return await self._ledger.get(site.environment)

    async def again(self, row: EnvironmentRow, site: Site, name: str) -> Sequence[str]:
        """Run the repository's lifecycle commands once more, once under each name; return what failed.

        What came of them is what is known of them from then on, so that the next start does not run them again.
        """
        said = devcontainer_of(row)
        if problem := said.get("problem") or ("" if said else "there is no devcontainer.json in the workspace"):
            return (str(problem),)
        asked = PARSED.validate_python(said)
        site = Site(site.environment, site.machine, site.incarnation, asked.folder or ".", asked.remote)
        book = f"rebuild/{name}"
        await self._all(site, (*asked.once, *asked.each_start), book)

        def known(row: EnvironmentRow) -> Mapping[str, Any]:
            notes, steps = _book(row, book), row.status.get("steps", {})
            for hooks, kind in ((asked.once, "once"), (asked.each_start, f"start/{site.incarnation}")):
                labels = {label for hook in hooks for label, _ in hook.commands}
                steps = {**steps, kind: {**steps.get(kind, {}), **{one: notes[one] for one in labels if one in notes}}}
            return {"steps": steps}

        ended = _book(await self._ledger.amend(site.environment, known), book)
        return tuple(str(note["failure"]) for note in ended.values() if note.get("failure"))

    async def _all(self, site: Site, hooks: Sequence[Hook], book: str) -> bool:
        """Run commands in order; return whether all have ended well."""
        for hook in hooks:
            outcomes = [self._once(site, book, label, argv) for label, argv in hook.commands]
            if not all(await asyncio.gather(*outcomes)):
                return False
        return True

    async def _once(self, site: Site, book: str, label: str, argv: tuple[str, ...]) -> bool:
        """Run one command unless it has been run; return whether it ended well."""
        known = await self._known(site.environment, book, label)
        if known.get("state") in ("done", "failed"):
            return known["state"] == "done"
        attempt = int(known.get("attempt", 1))
        if known and known.get("life") != site.incarnation:
            attempt += 1
            await self._journal.say(site.environment, f"{label} was cut short with the environment and is run again")
        elif not known:
            await self._journal.say(site.environment, f"{label} begins: {argv[-1] if argv[0] == '/bin/sh' else argv}")
        running = {"state": "running", "life": site.incarnation, "attempt": attempt}
        await self._note(site.environment, book, label, running)
        result = await self._performed(site, f"{book}/{label}/{attempt}", argv)
        good = result.outcome == Exited(0)
        words = _ended(result.outcome)
        await self._journal.say(site.environment, f"{label} {words} after {result.seconds:.1f} seconds")
        failure = "" if good else self._journal.masked(f"{label} {words}: {_last_words(result)}")
        ended = {"state": "done" if good else "failed", "failure": failure, "seconds": round(result.seconds, 3)}
        await self._note(site.environment, book, label, ended)
        return good

    async def _performed(self, site: Site, operation: str, argv: tuple[str, ...]) -> ExecResult:
        start = await self._journal.kept(site.environment, operation)
        command = Command(argv, cwd=site.folder, env=dict(site.variables or {}), timeout=SECONDS)
        async with self._journal.output(site.environment, operation, start) as told:

            async def on_output(_: Stream, data: bytes) -> None:
                await told(data)

            return await site.run(operation, command, on_output=on_output, offset=start)

    async def _known(self, environment: str, book: str, label: str) -> Mapping[str, Any]:
        row = await self._ledger.get(environment)
        return _book(row, book).get(label, {})

    async def _note(self, environment: str, book: str, label: str, said: Mapping[str, Any]) -> None:
        """Note what became of a command; commands side by side note theirs into the same row."""
        await self._ledger.amend(environment, lambda row: {"steps": _with(row, book, label, said)})


def _book(row: EnvironmentRow, book: str) -> Mapping[str, Any]:
    return row.status.get("steps", {}).get(book, {})


def _with(row: EnvironmentRow, book: str, label: str, said: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the notes with one more; those of an earlier start or rebuild are let go."""
    books: Mapping[str, Any] = row.status.get("steps", {})
    kind = book.partition("/")[0]
    kept = {name: notes for name, notes in books.items() if name == book or name.partition("/")[0] != kind}
    return {**kept, book: {**kept.get(book, {}), label: said}}


async def _found(machine: Machine, asked: str) -> tuple[str, str | None]:
    """Return the path of the devcontainer.json and its text; no path when there is none."""
    for path in (asked,) if asked else (*PLACES, *await _nested(machine)):
        try:
            chunk = await machine.read(path, limit=LONGEST)
        except FileProblem as problem:
            if problem.kind in ("not_found", "not_directory"):
                continue
            return path, None
        return path, chunk.data.decode(errors="replace") if chunk.size <= LONGEST else None
    return "", None


async def _nested(machine: Machine) -> list[str]:
    """Return the one devcontainer.json in a folder of its own; several are a choice that nobody has made."""
    try:
        entries = await machine.list(FOLDER, depth=1, limit=50)
    except FileProblem:
        return []
    folders = [entry.path.rpartition("/")[2] for entry in entries if entry.kind == "directory"]
    return [f"{FOLDER}/{folders[0]}/devcontainer.json"] if len(folders) == 1 else []


async def _around(site: Site) -> Surroundings:
    """Return the workspace's path and the variables as they are inside."""
    result = await site.run("around", Command(("/bin/sh", "-c", "pwd; env -0"), timeout=30.0, output_cap=256 << 10))
    if result.outcome != Exited(0):
        raise EnvironmentFailed("the environment does not tell where its workspace is")
    workspace, _, rest = (result.out.head + result.out.tail).decode(errors="replace").partition("\n")
    pairs = (one.partition("=") for one in rest.split("\0") if "=" in one)
    return Surroundings(workspace, {name: value for name, _, value in pairs})


def _ended(outcome: Outcome) -> str:
    match outcome:
        case Exited(0):
            return "ended well"
        case Exited(code):
            return f"failed with exit code {code}"
        case Signalled(signal):
            return f"was killed by signal {signal}"
        case TimedOut():
            return f"was ended because it took longer than {SECONDS:.0f} seconds"
        case Cancelled():
            return "was cancelled"
        case unknown:
            return f"ended nobody knows how ({unknown.reason})"


def _last_words(result: ExecResult) -> str:
    said = (result.out.tail or result.out.head).decode(errors="replace").replace("\0", "").strip()
    return (said if len(said) <= SHOWN else f"…{said[-SHOWN:]}") or "it said nothing"
