"""Setup results of one environment for the next one like it: same code host, ref and creator, same setup files."""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

import structlog

from hostler.core.ambient import Ambient
from hostler.core.desk import EnvironmentClass
from hostler.core.environment_log import EnvironmentLogs
from hostler.core.errors import EnvironmentError_
from hostler.core.machines import Command, Exited, Machine, Operation
from hostler.core.ports import EnvironmentRow, EnvironmentRows
from hostler.core.redaction import Redactor
from hostler.engine.environments.journal import Journal
from hostler.engine.environments.rows import Ledger
from hostler.engine.environments.shape import devcontainer_of
from hostler.environments.overlays import Overlays, Site, machine_of

log = structlog.get_logger(__name__)

LOCKS = re.split(
    r"\s+",
    "package.json package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml bun.lockb requirements*.txt "
    "pyproject.toml setup.py setup.cfg poetry.lock uv.lock Pipfile.lock go.mod go.sum Cargo.toml Cargo.lock Gemfile "
    "Gemfile.lock composer.json composer.lock mix.exs mix.lock .tool-versions .nvmrc",
)
"""Files that say what is installed."""
INSTALLS = re.compile(
    r"(?:npm|pnpm|yarn|bun) (?:ci|i|install)\b|(?:python3? -m )?pip3? install\b|python3? -m venv\b"
    r"|uv (?:sync|venv|pip)\b|(?:poetry|pipenv|bundle|composer) install\b|mix deps\.get\b|go mod download\b"
    r"|cargo fetch\b|cd\b"
)
"""Commands that do what such files and those they name say; any other may depend on everything in the repository."""
ANYTHING = re.compile(r"[&|`]|[$<>]\(")
"""Where a shell would run something else beside a command."""
PIP = re.compile(r"(?:.*\s)?pip3? install\b(.*)")
LOCAL = re.compile(r"(?:^|\s)(?!-)(?<!-r )(?<!-c )(?:\.|[\w.-]*/)(?!\S*://)|(?:^|\s)(?:-e\b|--editable\b)")
"""A folder of the repository among what pip is to install."""
BUILDS = """
git grep -qE '"(pre|post)?(install|prepare)(-cmd)?" *:|"(prepublish|post-autoload-dump|classmap)" *:' -- \
    '*package.json' '*composer.json' && exit
git grep -qE '^ *(-e|--editable|[./]|file:)' -- '*requirements*.txt' && exit
exit 1
"""
"""Says whether installing may build from files of the repository: 1 where nothing tells of it."""
STATE = """
{ git config --local --list; git for-each-ref; cat .git/HEAD; git rev-parse HEAD
  find .git/hooks .git/info .git/modules -type f -exec cksum {} +; } 2>/dev/null | cksum
"""
"""What a setup might change in the repository itself, which is not among what is kept of it."""
BETWEEN = re.compile(r"&&|\|\||[;\n]")
WORD = re.compile(r"[\w@%+=:,./-]+")
MOST_WORDS = 500


class Setups:
    """Brings back what the setup commands of an environment would make, and keeps what they made."""

    def __init__(
        self,
        rows: EnvironmentRows,
        logs: EnvironmentLogs,
        overlays: Overlays,
        classes: Sequence[EnvironmentClass],
        ambient: Ambient,
        redactor: Redactor,
    ) -> None:
        self._ledger = Ledger(rows, ambient)
        self._journal = Journal(logs, redactor, ambient)
        self._overlays = overlays
        self._classes = {cls.id: cls for cls in classes}

    async def filled(self, row: EnvironmentRow, machine: Machine) -> None:
        """Bring back a setup that was kept; without one, note under which key this one will be."""
        steps = self._steps(row)
        if not self._overlays.on or not steps or row.spec.get("secrets") or row.spec.get("kind") == "KeptSource":
            return
        site = await self._site(row, machine)
        key = await self._key(row, site, steps)
        if not key:
            return
        if not self._overlays.has(key) or not await self._restored(row, key, site):
            state = await self._state(site, "before")
            await self._ledger.change(row.id, status={"setup_key": key, "setup_state": state})
            return
        done = {label: {"state": "done", "kept": True} for label, _ in steps}
        await self._ledger.amend(row.id, lambda now: {"steps": {**now.status.get("steps", {}), "once": done}})
        await self._journal.say(row.id, f"{len(done)} setup commands were not run: what they make was kept from before")

    async def _restored(self, row: EnvironmentRow, key: str, site: Site) -> bool:
        try:
            await self._overlays.restore(key, site)
        except (EnvironmentError_, OSError) as problem:
            await self._journal.say(row.id, f"the setup kept from before is of no use and is run anew: {problem}")
            return False
        return True

    async def ready(self, row: EnvironmentRow, machine: Machine) -> None:
        """Keep what the setup made, before anybody else gets into the environment."""
        key = str(row.status.get("setup_key", ""))
        outcomes = row.status.get("steps", {}).get("once", {}).values()
        if not key or self._overlays.has(key) or not all(one.get("state") == "done" for one in outcomes):
            return
        try:
            site = await self._site(row, machine)
            if await self._state(site, "after") != row.status.get("setup_state"):
                await self._journal.say(row.id, "what the setup made is not kept: it changed the repository itself")
                return
            size = await self._overlays.keep(key, site)
        except (EnvironmentError_, OSError) as problem:
            log.info("a setup could not be kept", environment=row.id, problem=str(problem))
            return
        if size:
            await self._journal.say(row.id, f"what the setup made is kept for the next environment: {size >> 20} MiB")

    async def leaving(self, row: EnvironmentRow) -> None:
        """Have nothing to do with an environment that goes."""

    def _steps(self, row: EnvironmentRow) -> list[tuple[str, Any]]:
        """Return (label, command) of everything that is run once."""
        cls = self._classes.get(row.class_id)
        own = [*(cls.setup if cls else ()), *row.spec.get("setup", ())]
        steps: list[tuple[str, Any]] = [(f"setup-{number}", one) for number, one in enumerate(own, 1)]
        for hook in devcontainer_of(row).get("once") or ():
            steps += [(str(label), argv) for label, argv in hook["commands"]]
        return steps

    async def _site(self, row: EnvironmentRow, machine: Machine) -> Site:
        owner = f"overlay/{row.id}"
        incarnation = await machine.register(owner, 1)
        return Site(machine, Operation(owner, 1, f"overlay-{row.status.get('failures', 0)}"), incarnation)

    async def _state(self, site: Site, when: str) -> str:
        """Return what tells one state of the repository's own folder from another."""
        return (await site.run(f"state-{when}", STATE)).out.head.decode(errors="replace").strip()

    async def _key(self, row: EnvironmentRow, site: Site, steps: Sequence[tuple[str, Any]]) -> str:
        """Return the name of a setup's result; empty where there is no repository to tell.

        Where something else than installing is done, it is the result for this commit only.
        """
        words = {word for _, one in steps for word in WORD.findall(json.dumps(one)) if not word.startswith(("-", ":"))}
        named = [f":(literal){word.removeprefix('./')}" for word in sorted(words)[:MOST_WORDS] if word.strip("./")]
        paths = [*(f":(glob)**/{name}" for name in LOCKS), *named]
        operation = Operation(site.operation.execution, 1, f"{site.operation.id}/files")
        command = Command(("git", "ls-files", "-s", "--", *paths), timeout=60.0, merge=False, output_cap=4 << 20)
        listed = await site.machine.exec(operation, command, incarnation=site.incarnation)
        if listed.outcome != Exited(0) or listed.out.cut:
            return ""
        files = (listed.out.head + listed.out.tail).decode(errors="replace")
        of_files = files and _installs_only(steps) and (await site.run("builds", BUILDS)).outcome == Exited(1)
        cls = self._classes.get(row.class_id)
        about = {
            "machine": machine_of(),
            "of_class": dict(cls.variables) if cls else {},
            "project": row.spec.get("project", ""),
            "creator": row.creator_id,
            "class": row.class_id,
            "kind": row.spec["kind"],
            "source": row.spec["source"],
            "variables": row.spec.get("variables", {}),
            "devcontainer": devcontainer_of(row),
            "steps": [list(step) for step in steps],
            "files": files,
            "commit": "" if of_files else str(row.status.get("base", "")),
        }
        return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()


def _installs_only(steps: Sequence[tuple[str, Any]]) -> bool:
    lines = (one if isinstance(one, str) else " ".join(map(str, one)) for _, one in steps)
    parts = (part.strip() for line in lines for part in BETWEEN.split(line.removeprefix("/bin/sh -c ")))
    return all(_installs(part) for part in parts if part)


def _installs(part: str) -> bool:
    """Return whether a command installs what files say, and nothing made of the repository's own code."""
    if ANYTHING.search(part) or not INSTALLS.match(part):
        return False
    pip = PIP.match(part)
    return pip is None or not LOCAL.search(pip[1])
