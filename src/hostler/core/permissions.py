"""What the rules say of a tool call: it may start, a person is asked first, or it is denied."""

import json
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, cast

from hostler.core.approvals import name
from hostler.core.approvals_events import Permission, Verdict
from hostler.core.commandline import LONGEST, like, matches, simple_commands

SUBJECTS = ("path", "url", "name", "title", "agent", "query", "pattern")
"""Arguments by which people know a call; the first that a call has is what a pattern is about."""
SHOWN = 2000
"""Characters of a subject that are shown."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the rules come to for a call; `rules` are those that ask."""

    verdict: Verdict
    subject: str = ""
    reason: str = ""
    rules: tuple[str, ...] = ()


ALLOWED = Ruling("allow")


def ruling(permissions: Sequence[Permission], tool: str, arguments: str, standing: AbstractSet[str]) -> Ruling:
    """Return what the rules say; of each command in a text the first that fits counts, of these the strictest.

    Rules in `standing` allow instead of asking. Arguments that cannot be read are the tool's to refuse.
    """
    rules = [rule for rule in permissions if like(rule.tool, tool)]
    if not rules:
        return ALLOWED
    given = _arguments(arguments)
    if given is None:
        return ALLOWED
    if tool != "bash":
        subject = next((str(given[key]) for key in SUBJECTS if key in given), "")
        first = next((rule for rule in rules if not rule.pattern or like(rule.pattern, subject)), None)
        return _strictest([first] if first else [], subject, standing)
    command = str(given.get("command", ""))
    if len(command) > LONGEST and any(rule.pattern and rule.verdict != "allow" for rule in rules):
        reason = f"a command of more than {LONGEST:,} characters cannot be checked; write a script and run that"
        return Ruling("deny", command[:SHOWN], reason)
    found = [
        next((rule for rule in rules if not rule.pattern or matches(rule.pattern, words)), None)
        for words in simple_commands(command) or ((command,),)
    ]
    return _strictest([rule for rule in found if rule], command, standing)


def _strictest(found: Sequence[Permission], subject: str, standing: AbstractSet[str]) -> Ruling:
    if denied := next((rule for rule in found if rule.verdict == "deny"), None):
        return Ruling("deny", subject[:SHOWN], denied.reason or _because(denied))
    asking = [rule for rule in found if rule.verdict == "ask" and name(rule) not in standing]
    if not asking:
        return ALLOWED
    names = tuple(dict.fromkeys(map(name, asking)))
    return Ruling("ask", subject[:SHOWN], asking[0].reason, names)


def _because(rule: Permission) -> str:
    return f"the rule on {name(rule)!r} denies it"


def _arguments(text: str) -> dict[str, Any] | None:
    try:
        found: Any = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None
