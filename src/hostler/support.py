"""What the server tells of itself in a support bundle: versions, settings without secrets, its last log lines."""

import asyncio
import platform
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

from hostler import __version__
from hostler.config import Settings
from hostler.core.redaction import MASK
from hostler.environments.local import find_bwrap

PATIENCE = 5.0
"""Seconds that a program may take to say its version."""
PACKAGES = ("connectrpc", "pydantic-ai-slim", "sqlalchemy", "starlette", "uvicorn", "openai-codex-cli-bin")
HIDDEN = ("secrets", "api_key", "client_secret")
"""Settings whose values are never shown."""
ADMINS = ("system_prompt", "judgement_prompt", "initial_message")
"""Settings that only administrators see."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The server's own facts; `recent` gives the last lines of its log."""

    config: Settings
    recent: Callable[..., Sequence[str]]
    now: Callable[[], Settings] | None = None
    """The settings as they are now, where they may change."""

    async def versions(self) -> Mapping[str, Any]:
        """Return the versions of Hostler and of what it stands on."""
        bwrap, git = await asyncio.gather(_said(find_bwrap()), _said(shutil.which("git")))
        return {
            "hostler": __version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "distribution": _distribution(),
            "database": await self._database(),
            "bubblewrap": bwrap,
            "git": git,
            "packages": {name: _installed(name) for name in PACKAGES},
        }

    async def _database(self) -> str:
        if urlsplit(self.config.database).scheme.startswith("sqlite"):
            return f"SQLite {sqlite3.sqlite_version}"
        return await asyncio.to_thread(_postgres, self.config.database)

    def settings(self, *, admin: bool) -> Mapping[str, Any]:
        """Return the settings without secrets; of variables only their names are left."""
        hidden = HIDDEN if admin else (*HIDDEN, *ADMINS)
        shown: dict[str, Any] = _shown((self.now() if self.now else self.config).model_dump(mode="json"), hidden)
        return {**shown, "home": str(self.config.home), "database": without_password(self.config.database)}

    def server_log(self, *naming: str) -> Sequence[str]:
        """Return the last lines of the server's log."""
        return self.recent(*naming)


def _shown(value: Any, hidden: Sequence[str]) -> Any:
    if isinstance(value, dict):
        given = cast("dict[str, Any]", value)
        return {key: _field(key, one, hidden) for key, one in given.items()}
    if isinstance(value, list):
        return [_shown(one, hidden) for one in cast("list[Any]", value)]
    return without_password(value) if isinstance(value, str) else value


def _field(key: str, value: Any, hidden: Sequence[str]) -> Any:
    if key in hidden:
        return MASK if value else value
    if key in ("variables", "headers", "env") and isinstance(value, dict):
        return sorted(cast("dict[str, Any]", value))
    return _shown(value, hidden)


def without_password(url: str) -> str:
    """Return a URL without what stands before its host; other text as it is."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=f"{MASK}@{parts.netloc.rpartition('@')[2]}"))


async def _said(program: str | None) -> str:
    """Return the first line that a program says of its version."""
    if program is None:
        return "not found"
    try:
        async with asyncio.timeout(PATIENCE):
            child = await asyncio.create_subprocess_exec(
                program, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
            )
            said, _ = await child.communicate()
    except (OSError, TimeoutError) as problem:
        return f"it does not say: {problem or 'it took too long'}"
    return f"{said.decode(errors='replace').partition(chr(10))[0]} at {program}"


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def _postgres(url: str) -> str:
    import psycopg

    try:
        with psycopg.connect(f"postgresql://{url.partition('://')[2]}", connect_timeout=5) as connection:
            return f"Postgres {connection.info.server_version}"
    except psycopg.Error as problem:
        return f"Postgres, which does not answer: {type(problem).__name__}"
