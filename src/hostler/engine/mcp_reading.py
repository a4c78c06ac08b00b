"""What an environment says about MCP servers: the repository's file, and the values that are known inside only."""

import re
from collections.abc import Mapping
from dataclasses import replace

from hostler.core.errors import EnvironmentError_, Fenced, MachineLost
from hostler.core.machines import Command, Exited, FileProblem, Machine, Operation
from hostler.core.mcp_client import McpFailed, Site
from hostler.core.mcp_servers import (
    CONFIG,
    CONFIG_BYTES,
    LONGEST_WORD,
    BadServer,
    Configured,
    Fault,
    McpServer,
    check_headers,
    configured,
)
from hostler.core.redaction import Redactor

EXPANDED = re.compile(r"\$\{(file|exec):([^{}]+)\}")
EXEC_SECONDS = 20.0


async def repository(machine: Machine) -> Configured:
    """Return the servers that the repository names; none when it has no such file. Raises MachineLost."""
    try:
        chunk = await machine.read(CONFIG, limit=CONFIG_BYTES + 1)
    except FileProblem as problem:
        if problem.kind == "not_found":
            return Configured()
        return Configured(faults=(Fault("mcp-config", f"{CONFIG}: {problem.message}"),))
    return configured(chunk.data)


async def expanded(server: McpServer, site: Site, redactor: Redactor) -> McpServer:
    """Return a server with `${file:PATH}` and `${exec:COMMAND}` in env and headers replaced by what they say inside.

    What they say is kept out of logs and results. Raises McpFailed, naming the variable and not its value.
    """
    inside = _Inside(site, redactor)
    env = await inside.table("env", server.env)
    headers = await inside.table("headers", server.headers)
    try:
        check_headers(headers)
    except BadServer as fault:
        raise McpFailed(str(fault)) from None
    return replace(server, env=env, headers=headers)


class _Inside:
    def __init__(self, site: Site, redactor: Redactor) -> None:
        self._site = site
        self._redactor = redactor
        self._count = 0

    async def table(self, what: str, table: Mapping[str, str]) -> Mapping[str, str]:
        return {name: await self._value(f"{what}.{name}", text) for name, text in table.items()}

    async def _value(self, name: str, text: str) -> str:
        value, end = "", 0
        for found in EXPANDED.finditer(text):
            value += text[end : found.start()] + await self._one(name, found[1], found[2])
            end = found.end()
        return value + text[end:]

    async def _one(self, name: str, kind: str, what: str) -> str:
        try:
            data = await (self._file(what) if kind == "file" else self._exec(what))
        except (MachineLost, Fenced):
            raise
        except EnvironmentError_ as problem:
            raise McpFailed(f"{name}: ${{{kind}:…}} failed: {problem.message[:200]}") from None
        value = data.decode(errors="replace").rstrip("\r\n")
        if len(value) > LONGEST_WORD or "\0" in value:
            raise McpFailed(f"{name}: ${{{kind}:…}} gave no text of at most {LONGEST_WORD} characters")
        self._redactor.add([value, *value.splitlines()])
        return value

    async def _file(self, path: str) -> bytes:
        return (await self._site.machine.read(path, limit=LONGEST_WORD * 4)).data

    async def _exec(self, line: str) -> bytes:
        self._count += 1
        its = self._site.operation
        operation = Operation(its.execution, its.fence, f"{its.id}-value-{self._count}")
        command = Command(("/bin/sh", "-c", line), timeout=EXEC_SECONDS, merge=False)
        done = await self._site.machine.exec(operation, command, incarnation=self._site.incarnation)
        if done.outcome != Exited(0):
            how = f"exit code {done.outcome.code}" if isinstance(done.outcome, Exited) else "it did not end well"
            raise EnvironmentError_(how)
        return done.out.head + done.out.tail
