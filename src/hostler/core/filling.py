"""What a typed text means, and how a prompt of the library is filled in.

A text that begins with `/NAME` stands for the prompt whose command that is; `!` begins a command line; `/clear` and
`/support-bundle` are for Hostler itself. Everything else is what it says. The command line uses this module, too.
"""

import re
import shlex
from collections.abc import Sequence
from typing import Literal

SLASH = re.compile(r"/([A-Za-z0-9_-]{1,50})(?:\s+(.*))?\s*", re.DOTALL)
PLACEHOLDER = re.compile(r"\$(ARGUMENTS\b|[1-9])")
LONGEST = 100_000
"""Characters of an expanded command."""


def local_in(text: str) -> Literal["", "shell", "clear", "bundle"]:
    """Return what Hostler does itself with a text that is all of an input; empty when it is for the agent."""
    said = text.strip()
    if said in ("/clear", "/support-bundle"):
        return "clear" if said == "/clear" else "bundle"
    return "shell" if said.startswith("!") and said[1:].strip() else ""


def slash_in(text: str) -> tuple[str, str] | None:
    """Return (name, arguments) of a text that begins with a slash command."""
    found = SLASH.fullmatch(text.strip())
    return (found[1], (found[2] or "").strip()) if found else None


def expanded(prompt: str, arguments: str) -> str:
    """Return a prompt with its arguments: `$ARGUMENTS` all of them, `$1` to `$9` one word each (quotes hold together).

    Arguments for which there is no place come behind it. What is filled in is not looked at again.
    """
    words = _words(arguments)

    def fill(found: re.Match[str]) -> str:
        if found[1] == "ARGUMENTS":
            return arguments
        number = int(found[1])
        return words[number - 1] if number <= len(words) else ""

    text, places = PLACEHOLDER.subn(fill, prompt)
    said = text if places or not arguments else f"{text}\n\n{arguments}"
    return said[:LONGEST]


def _words(arguments: str) -> Sequence[str]:
    try:
        return shlex.split(arguments)
    except ValueError:
        return arguments.split()
