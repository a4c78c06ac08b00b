"""Which MCP servers there are to be, as configurations write them: strictly read and bounded."""

import fnmatch
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast
from urllib.parse import urlsplit

CONFIG = ".ona/mcp-config.json"
"""Where a repository names its servers, relative to the workspace."""
CONFIG_BYTES = 64 << 10
MOST_SERVERS = 16
TIMEOUT = 30.0
"""Seconds of a call unless something else is configured."""
LONGEST_TIMEOUT = 3600.0
MOST_WORDS = 64
LONGEST_WORD = 4096
LONGEST_NAME = 64
"""Characters of a tool's name as models take it."""
PREFIX = "mcp__"
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_FIELDS = {
    "name",
    "command",
    "args",
    "env",
    "workingDir",
    "url",
    "headers",
    "timeout",
    "toolDenyList",
    "disabled",
}


class BadServer(ValueError):
    """A server's configuration cannot be used; the text names the field."""


@dataclass(frozen=True, slots=True)
class McpServer:
    """One server: a command inside the environment, or a URL that is reached by the environment's rules."""

    id: str
    """The key under which it is configured; part of its tools' names."""
    name: str = ""
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    cwd: str = "."
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    timeout: float = TIMEOUT
    """Seconds that one call may take."""
    deny: tuple[str, ...] = ()
    """Tools that are not offered; `*` and `?` stand for anything."""
    disabled: bool = False

    @property
    def title(self) -> str:
        """Return what people call it."""
        return self.name or self.id

    def denies(self, tool: str) -> bool:
        """Return whether one of its tools is on its deny list."""
        return any(fnmatch.fnmatchcase(tool, pattern) for pattern in self.deny)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a server of a configuration cannot be used."""

    id: str
    message: str


@dataclass(frozen=True, slots=True)
class Configured:
    """What a repository's file says."""

    servers: tuple[McpServer, ...] = ()
    faults: tuple[Fault, ...] = ()


def checked(server: McpServer) -> McpServer:
    """Return the server; raises BadServer when it cannot be used as it is written."""
    if not _KEY.fullmatch(server.id):
        raise BadServer("a key is 1 to 32 letters, digits, - and _")
    if bool(server.command) == bool(server.url):
        raise BadServer("exactly one of command and url is needed")
    if server.command:
        _only(server, "headers", server.headers)
    else:
        _only(server, "args, env and workingDir", server.args or server.env or server.cwd != ".")
    _check_words((server.command, *server.args, server.cwd, server.name, *server.deny, *server.env.values()))
    if bad := [name for name in server.env if not _VARIABLE.fullmatch(name)]:
        raise BadServer(f"env: {bad[0][:80]!r} is not the name of a variable")
    if server.url:
        _check_url(server.url)
        check_headers(server.headers)
    if not 0 < server.timeout <= LONGEST_TIMEOUT:
        raise BadServer(f"timeout: more than 0 and at most {LONGEST_TIMEOUT:g} seconds")
    return server


def _only(server: McpServer, names: str, given: object) -> None:
    if given:
        raise BadServer(f"{names}: not with {'command' if server.command else 'url'}")


def _check_words(words: tuple[str, ...]) -> None:
    if len(words) > 3 * MOST_WORDS:
        raise BadServer("too many arguments, variables or patterns")
    if any(len(word) > LONGEST_WORD or "\0" in word for word in words):
        raise BadServer(f"a text is longer than {LONGEST_WORD} characters or holds a NUL")


def _check_url(text: str) -> None:
    try:
        url = urlsplit(text)
        fine = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        fine, url = False, urlsplit("")
    if not fine or len(text) > LONGEST_WORD or re.search(r"[\s\x00-\x1f]", text):
        raise BadServer("url: http:// or https:// with a host is needed")
    if url.username or url.password:
        raise BadServer("url: no name or password in it; use headers")


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise BadServer unless these can be sent as headers."""
    if len(headers) > MOST_WORDS:
        raise BadServer(f"headers: at most {MOST_WORDS}")
    for name, value in headers.items():
        if not _HEADER.fullmatch(name):
            raise BadServer(f"headers: {name[:80]!r} is not the name of a header")
        if re.search(r"[\r\n\0]", value) or len(value) > 2 * LONGEST_WORD or not value.isascii():
            raise BadServer(f"headers: the value of {name} cannot be sent")


def configured(data: bytes) -> Configured:
    """Return what a repository's file says; one bad server leaves the others usable, a bad file leaves none."""
    if len(data) > CONFIG_BYTES:
        return _whole(f"larger than {CONFIG_BYTES >> 10} KiB")
    try:
        raw: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        return _whole(f"not JSON: {str(error)[:200]}")
    if not isinstance(raw, dict):
        return _whole("an object with mcpServers is needed")
    top = cast("dict[str, Any]", raw)
    servers: Any = top.get("mcpServers", {})
    if strange := sorted(top.keys() - {"mcpServers", "globalTimeout"}):
        return _whole(f"{strange[0][:80]!r} is not known; there are mcpServers and globalTimeout")
    if not isinstance(servers, dict) or len(cast("dict[str, Any]", servers)) > MOST_SERVERS:
        return _whole(f"mcpServers: an object of at most {MOST_SERVERS} servers is needed")
    fallback = top.get("globalTimeout", TIMEOUT)
    if not _number(fallback) or not 0 < fallback <= LONGEST_TIMEOUT:
        return _whole(f"globalTimeout: more than 0 and at most {LONGEST_TIMEOUT:g} seconds")
    good: list[McpServer] = []
    bad: list[Fault] = []
    for key, one in cast("dict[str, Any]", servers).items():
        try:
            good.append(_server(key, one, float(fallback)))
        except BadServer as fault:
            bad.append(Fault(key[:32], f"{CONFIG}: {fault}"))
    return Configured(tuple(good), tuple(bad))


def _whole(text: str) -> Configured:
    return Configured(faults=(Fault("mcp-config", f"{CONFIG}: {text}"),))


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _server(key: str, raw: object, timeout: float) -> McpServer:
    if not isinstance(raw, dict):
        raise BadServer("an object is needed")
    table = cast("dict[str, Any]", raw)
    if strange := sorted(table.keys() - _FIELDS):
        raise BadServer(f"{strange[0][:80]!r} is not known")
    if not _number(table.get("timeout", timeout)):
        raise BadServer("timeout: a number of seconds is needed")
    if not isinstance(table.get("disabled", False), bool):
        raise BadServer("disabled: true or false is needed")
    return checked(
        McpServer(
            key,
            _text(table, "name"),
            _text(table, "command"),
            _texts(table, "args"),
            _table(table, "env"),
            _text(table, "workingDir") or ".",
            _text(table, "url"),
            _table(table, "headers"),
            float(table.get("timeout", timeout)),
            _texts(table, "toolDenyList"),
            bool(table.get("disabled", False)),
        )
    )


def _text(table: Mapping[str, Any], name: str) -> str:
    value = table.get(name, "")
    if not isinstance(value, str):
        raise BadServer(f"{name}: a text is needed")
    return value


def _texts(table: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = table.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in cast("list[Any]", value)):
        raise BadServer(f"{name}: a list of texts is needed")
    return tuple(cast("list[str]", value))


def _table(table: Mapping[str, Any], name: str) -> Mapping[str, str]:
    value = table.get(name, {})
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in cast("dict[str, Any]", value).values()):
        raise BadServer(f"{name}: an object of texts is needed")
    return cast("dict[str, str]", value)


def merged(own: tuple[McpServer, ...], found: Configured) -> Configured:
    """Return the server's own servers and a repository's; where both name one, the repository does not change it."""
    taken = {server.id for server in own}
    theirs = tuple(server for server in found.servers if server.id not in taken)
    return replace(found, servers=(*own, *theirs))


def tool_name(server: str, tool: str) -> str:
    """Return the name under which a model is offered a tool; one that models cannot take is replaced by a like one."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", f"{PREFIX}{server}__{tool}")
    if len(name) <= LONGEST_NAME and name == f"{PREFIX}{server}__{tool}":
        return name
    mark = hashlib.sha256(tool.encode()).hexdigest()[:8]
    return f"{name[: LONGEST_NAME - 9]}_{mark}"


def is_mcp(name: str) -> bool:
    """Return whether a tool's name is one of an MCP server."""
    return name.startswith(PREFIX)
