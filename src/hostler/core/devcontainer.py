"""What a repository's devcontainer.json asks for, as far as it can be done in an environment. Pure: nothing is read.

The file is written by strangers. It is JSON with comments; what of it has no meaning here is named, never run.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

PLACES = (".devcontainer/devcontainer.json", ".devcontainer.json")
"""Where the file is looked for, in this order."""
LONGEST = 64 << 10
"""Bytes of the file that are read."""
ONCE = ("onCreateCommand", "updateContentCommand", "postCreateCommand")
"""Commands that run once, after the content is there."""
EACH_START = ("postStartCommand",)
SILENT = frozenset({"name", "$schema", "customizations", "waitFor"})
"""Fields that ask an environment for nothing."""
MOST_COMMANDS = 32
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
LABEL = re.compile(r"[^A-Za-z0-9_.-]")
FORBIDDEN = re.compile(r"(LD_|PYTHON|HOSTLER_).*|.*_proxy", re.IGNORECASE | re.DOTALL)
"""Variables that would change the supervisor itself, or lead around the egress proxy."""
MOST_VARIABLES = 32 << 10
"""Characters of all variables together."""
TOKEN = re.compile(r'"(?:\\.|[^"\\])*(?:"|\\?\Z)|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
TRAILING = re.compile(r'"(?:\\.|[^"\\])*(?:"|\\?\Z)|,(?=\s*[}\]])', re.DOTALL)
REFERENCE = re.compile(r"\$\{([A-Za-z]+)(?::([^{}:]*))?(?::([^{}]*))?\}")


class BadDevContainer(Exception):
    """The file cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Hook:
    """One lifecycle command: programs that run side by side, each under a label of its own."""

    name: str
    commands: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class DevContainer:
    """What is done of a devcontainer.json, and sentences about what is not."""

    path: str
    once: tuple[Hook, ...] = ()
    each_start: tuple[Hook, ...] = ()
    variables: Mapping[str, str] | None = None
    """For every process inside."""
    remote: Mapping[str, str] | None = None
    """For the lifecycle commands."""
    folder: str = ""
    """Where the lifecycle commands run, relative to the workspace; empty: the workspace itself."""
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What references in the file stand for: the workspace's path and the variables inside."""

    workspace: str
    variables: Mapping[str, str]


def parse(path: str, text: str, around: Surroundings) -> DevContainer:
    """Return what a devcontainer.json asks for; BadDevContainer says why it cannot be used."""
    body = _json(text)
    ignored: list[str] = []
    once = _hooks(body, ONCE, around, ignored)
    starts = _hooks(body, EACH_START, around, ignored)
    variables = _variables(body.get("containerEnv"), "containerEnv", around, ignored)
    remote = _variables(body.get("remoteEnv"), "remoteEnv", around, ignored)
    folder = _folder(body.get("workspaceFolder"), around, ignored)
    done = {*ONCE, *EACH_START, "containerEnv", "remoteEnv", "workspaceFolder"}
    rest = sorted(name for name in body if name not in done and name not in SILENT)
    if rest:
        shown = ", ".join(LABEL.sub("?", name)[:40] for name in rest[:20])
        ignored.append(f"{path}: {shown} {'has' if len(rest) == 1 else 'have'} no effect here")
    return DevContainer(path, once, starts, variables, remote, folder, tuple(ignored))


def _json(text: str) -> dict[str, Any]:
    plain = TOKEN.sub(lambda found: found[0] if found[0].startswith('"') else " ", text)
    plain = TRAILING.sub(lambda found: "" if found[0] == "," else found[0], plain)
    try:
        read: object = json.loads(plain)
    except RecursionError:
        raise BadDevContainer("it is nested too deeply") from None
    except ValueError as problem:
        raise BadDevContainer(f"it is not JSON: {problem}") from None
    if not isinstance(read, dict):
        raise BadDevContainer("it is not a JSON object")
    return cast("dict[str, Any]", read)


def _hooks(
    body: Mapping[str, Any], names: tuple[str, ...], around: Surroundings, ignored: list[str]
) -> tuple[Hook, ...]:
    found: list[Hook] = []
    for name in names:
        given: Any = body.get(name)
        if not given:
            continue
        commands = [(label, _argv(one, around)) for label, one in _labelled(name, given)]
        usable = tuple((label, argv) for label, argv in commands if argv)[:MOST_COMMANDS]
        if len(usable) < len(commands) or len({label for label, _ in usable}) < len(usable):
            ignored.append(f"{name} is not a command, a list of words or an object of such, and is not run")
        elif usable:
            found.append(Hook(name, usable))
    return tuple(found)


def _labelled(name: str, given: Any) -> list[tuple[str, Any]]:
    """Return the commands of a field: an object has several that run side by side, everything else is one."""
    if not isinstance(given, dict):
        return [(name, given)]
    several = cast("dict[str, Any]", given)
    return [(f"{name}/{LABEL.sub('-', label)[:40]}", one) for label, one in several.items()]


def _argv(command: Any, around: Surroundings) -> tuple[str, ...]:
    """Return the words of a command: a text is a shell's, a list is the program's own; none when it is neither."""
    match command:
        case str() if command.strip() and "\0" not in command:
            return ("/bin/sh", "-c", _filled(command, around))
        case list():
            words = cast("list[Any]", command)
            if words and all(isinstance(word, str) and "\0" not in word for word in words) and words[0]:
                return tuple(_filled(word, around) for word in words)
            return ()
        case _:
            return ()


def _variables(given: Any, field: str, around: Surroundings, ignored: list[str]) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        ignored.append(f"{field} is not an object and has no effect here")
        return {}
    kept: dict[str, str] = {}
    refused: list[str] = []
    for name, value in cast("dict[str, Any]", given).items():
        if value is None:
            continue
        filled = _filled(value, around) if isinstance(value, str) else ""
        room = sum(len(k) + len(v) for k, v in kept.items()) + len(name) + len(filled) <= MOST_VARIABLES
        if isinstance(value, str) and may_set(name) and "\0" not in filled and room:
            kept[name] = filled
        else:
            refused.append(LABEL.sub("?", name)[:40])
    if refused:
        ignored.append(f"{field}: {', '.join(sorted(refused)[:20])} cannot be set here")
    return kept


def may_set(name: str) -> bool:
    """Return whether a variable may be set by whoever asks for an environment."""
    return bool(NAME.fullmatch(name)) and not FORBIDDEN.fullmatch(name)


def _folder(given: Any, around: Surroundings, ignored: list[str]) -> str:
    """Return the folder below the workspace that is asked for."""
    if given is None:
        return ""
    asked = _filled(given, around).rstrip("/") if isinstance(given, str) else ""
    inside = asked.removeprefix(around.workspace).strip("/") if asked.startswith(f"{around.workspace}/") else ""
    if inside and ".." not in inside.split("/") and "\0" not in inside:
        return inside
    if asked != around.workspace:
        ignored.append(f"workspaceFolder has no effect here: the workspace is {around.workspace}")
    return ""


def _filled(text: str, around: Surroundings) -> str:
    """Return a text with its references filled in; this machine's own variables are never given, so they are unset."""
    base = around.workspace.rpartition("/")[2]

    def fill(found: re.Match[str]) -> str:
        match found[1]:
            case "containerWorkspaceFolder" | "localWorkspaceFolder":
                return around.workspace
            case "containerWorkspaceFolderBasename" | "localWorkspaceFolderBasename":
                return base
            case "containerEnv":
                return around.variables.get(found[2] or "", found[3] or "")
            case "localEnv" | "env":
                return found[3] or ""
            case _:
                return found[0]

    return REFERENCE.sub(fill, text)
