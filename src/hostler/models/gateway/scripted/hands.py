"""Lets a script's calls reach an agent that has other tools: what is asked for becomes a command of its shell.

A call whose tool the agent offers stays as it is. The script's own words, and so its demonstration, work for all.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hostler.core.conversation import ModelReply, Text, ToolCall
from hostler.models.gateway.scripted.heard import schema, table

Body = Mapping[str, Any]
NOTHING = "true"
_EDIT = (
    "import sys; path, old, new = sys.argv[1:]; text = open(path).read(); "
    "assert text.count(old) == 1, 'the old text is there %d times' % text.count(old); "
    "open(path, 'w').write(text.replace(old, new)); print('edited', path)"
)
_WRITE = (
    "import os, sys; path, text = sys.argv[1:]; os.makedirs(os.path.dirname(path) or '.', exist_ok=True); "
    "open(path, 'w').write(text); print('wrote', path)"
)


@dataclass(frozen=True, slots=True)
class Hands:
    """What one agent offers, by name."""

    offered: Mapping[str, Body]

    def reply(self, reply: ModelReply) -> ModelReply:
        """Return the reply with its calls as this agent can make them.

        A request without tools, such as one for a title, gets words only.
        """
        words = [part for part in reply.parts if not isinstance(part, ToolCall)]
        if not self.offered:
            return replace(reply, parts=tuple(words) or (Text("It goes by the script."),), finish="stop")
        calls = [made for call in reply.tool_calls if (made := self._call(call))]
        if reply.tool_calls and not calls:
            calls = [self._having(reply.tool_calls[0], NOTHING)]  # The turn must go on to the script's next step.
        return replace(reply, parts=(*words, *calls))

    def tool(self, name: str) -> Body:
        """Return what is known of a tool; nothing when it is not offered."""
        return self.offered.get(name, {})

    def _call(self, call: ToolCall) -> ToolCall | None:
        """Return the call in this agent's words, None when it has none for it."""
        if call.name in self.offered:
            return call
        try:
            given: object = json.loads(call.arguments)
        except ValueError:
            return call
        command = _command(call.name, table(given))
        return self._having(call, command) if command else None

    def _having(self, call: ToolCall, command: str) -> ToolCall:
        shell = self._shell(command)
        return replace(call, name=shell[0], arguments=json.dumps(shell[1])) if shell else call

    def _shell(self, command: str) -> tuple[str, Body] | None:
        """Return the call that has this agent run a command, None when it has no shell that is known."""
        for name in ("exec_command", "shell_command", "shell", "local_shell", "Bash", "bash", "run_shell_command"):
            if name not in self.offered:
                continue
            fields = table(schema(self.offered[name]).get("properties"))
            if "cmd" in fields:
                return name, {"cmd": command}
            listed = table(fields.get("command")).get("type") == "array"
            return name, {"command": ["bash", "-lc", command] if listed else command}
        return None


def _command(name: str, given: Body) -> str | None:
    """Return the shell's command for what a script asks of one of Hostler's own tools."""
    words = {key: shlex.quote(str(value)) for key, value in given.items()}
    match name:
        case "bash":
            return str(given.get("command", NOTHING))
        case "read":
            return f"cat -- {words.get('path', '.')}"
        case "search":
            return f"grep -rnIE -e {words.get('pattern', NOTHING)} -- {words.get('path', '.')}"
        case "edit":
            return f"python3 -c {shlex.quote(_EDIT)} {words.get('path')} {words.get('old')} {words.get('new')}"
        case "write":
            return f"python3 -c {shlex.quote(_WRITE)} {words.get('path')} {words.get('content')}"
        case _:
            return None
