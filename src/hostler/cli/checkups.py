"""The checks of `hostler doctor` that need the server's own parts; imported by that command only."""

import asyncio
import os
import shutil
import sqlite3
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from hostler.cli.diagnosis import Finding
from hostler.cli.serving import settings_file
from hostler.config import GIB, BadConfiguration, Settings, load
from hostler.core.conversation import ModelRequest, Text, ToolCall, ToolSpec, UserMessage
from hostler.core.errors import FailedPrecondition, HostlerError, ModelError, ModelRefused
from hostler.core.ports import Model

LEAST_DISK, GOOD_DISK = 1, 5
"""GiB below which nothing should be started, and below which one should think of it."""
CLOCK = 120.0
"""Seconds by which a file may be newer than now."""
PATIENCE = 60.0
TOOL = ToolSpec(
    "report",
    "Reports one word.",
    {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"], "additionalProperties": False},
)
ASKED = "Call the tool `report` with the word `ready`. Say nothing else."
PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


def checkups(config: Path | None, data_dir: Path | None, model: str, *, call: bool) -> list[Finding]:
    """Return what every check found; without usable settings only that."""
    file = settings_file(config, data_dir)
    try:
        settings = load(file, overrides={"data_dir": data_dir, "model": model or None})
    except BadConfiguration as fault:
        return [Finding("settings", "wrong", str(fault), f"edit {file}" if file else "unset the HOSTLER_ variable")]
    found = [Finding("settings", "ok", f"from {file}" if file else "the defaults and the environment")]
    checks: tuple[Callable[[Settings], list[Finding]], ...] = (sandbox, git, database, clock, disk, network)
    for check in checks:
        found += check(settings)
    return [*found, *asyncio.run(models(settings, os.environ, call=call))]


def sandbox(settings: Settings) -> list[Finding]:
    """Try to make a sandbox, and list which of its protections hold."""
    from hostler.environments.registry import Outside

    async def tried() -> list[Finding]:
        outside = Outside(settings.sandbox, settings.home / "environments", os.environ)
        try:
            preflight = await outside.provider.preflight()
        finally:
            await outside.close()
        usable = preflight.verdict != "unusable"
        found = [Finding("sandbox", "ok", f"{settings.sandbox} works")] if usable else []
        state = "weak" if usable else "wrong"
        held = {one.limit for one in preflight.protections if not one.holds}
        found += [Finding("sandbox", state, f.problem, f.fix) for f in preflight.findings if not (held and usable)]
        fixes = [finding.fix for finding in preflight.findings] if held and usable else []
        for one in preflight.protections:
            fix = fixes.pop(0) if not one.holds and fixes else ""
            found.append(Finding(f"  {one.limit}", "ok" if one.holds else "weak", one.means, fix))
        return found

    if settings.sandbox == "none":
        return [Finding("sandbox", "weak", "switched off: agents run without walls", 'set sandbox = "bubblewrap"')]
    try:
        return asyncio.run(tried())
    except (HostlerError, OSError) as error:
        return [Finding("sandbox", "wrong", str(error), "apt-get install bubblewrap")]


def git(settings: Settings) -> list[Finding]:
    """Look for git, which clones and diffs."""
    program = shutil.which("git")
    if program is None:
        return [Finding("git", "wrong", "not found", "apt-get install git")]
    said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=PATIENCE).stdout.strip()
    return [Finding("git", "ok", f"{said} at {program}")]


def database(settings: Settings) -> list[Finding]:
    """Open the database, without touching what is in it."""
    shown = urlsplit(settings.database)
    if not shown.scheme.startswith("sqlite"):
        return [_postgres(settings.database, f"{shown.hostname or 'the local server'}{shown.path}")]
    file = Path(settings.database.partition(":///")[2])
    if not file.exists():
        return [_writable(settings.home)]
    try:
        connection = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            connection.execute("PRAGMA schema_version").fetchone()
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        return [Finding("database", "wrong", f"{file}: {error}", "restore it from a backup, or choose another one")]
    return [Finding("database", "ok", f"SQLite {sqlite3.sqlite_version}, {file} ({file.stat().st_size >> 10:,} KiB)")]


def _postgres(url: str, shown: str) -> Finding:
    import psycopg

    plain = f"postgresql://{url.partition('://')[2]}"
    try:
        with psycopg.connect(plain, connect_timeout=5) as connection:
            version = connection.info.server_version // 10000
    except psycopg.Error as error:
        return Finding(
            "database", "wrong", f"{shown}: {str(error).strip()}", "see HOSTLER_DATABASE_URL or --database-url"
        )
    return Finding("database", "ok", f"Postgres {version}, {shown}")


def _writable(folder: Path) -> Finding:
    """Say whether the data folder can be made and written."""
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if os.access(place, os.W_OK | os.X_OK) and place.is_dir():
        return Finding("database", "ok", f"to be made in {folder}")
    return Finding("database", "wrong", f"{place} cannot be written", f"choose another --data-dir, or chown {place}")


def clock(settings: Settings) -> list[Finding]:
    """See whether the clock is behind what was written here before."""
    written = [file.stat().st_mtime for file in (Path(__file__), *settings.home.glob("hostler.db*")) if file.exists()]
    behind = max(written) - time.time()
    if behind > CLOCK:
        fix = "set the clock (timedatectl set-ntp true); tokens and times in the log depend on it"
        return [Finding("clock", "wrong", f"it is {behind:,.0f} s behind files that were written here", fix)]
    return [Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S %z"))]


def disk(settings: Settings) -> list[Finding]:
    """See how much room there is for log, blobs and environments."""
    place = next(parent for parent in (settings.home, *settings.home.parents) if parent.exists())
    free = shutil.disk_usage(place).free / GIB
    inodes = os.statvfs(place)
    if inodes.f_files and inodes.f_favail < 10_000:
        return [
            Finding("disk", "wrong", f"{inodes.f_favail:,} files more can be made at {place}", "remove files there")
        ]
    state = "wrong" if free < LEAST_DISK else "weak" if free < GOOD_DISK else "ok"
    fix = "" if state == "ok" else "remove old executions (hostler rm), or choose another --data-dir"
    return [Finding("disk", state, f"{free:,.1f} GiB free at {place}", fix)]


def network(settings: Settings) -> list[Finding]:
    """Check the proxy and the certificates that the variables name."""
    found: list[Finding] = []
    for name in dict.fromkeys(name for name in PROXIES if os.environ.get(name)):
        found.append(_proxy(name, os.environ[name]))
    bundle = os.environ.get("SSL_CERT_FILE", "")
    try:
        context = ssl.create_default_context(cafile=bundle or None)
        count = len(context.get_ca_certs())
    except (OSError, ssl.SSLError) as error:
        fix = "set SSL_CERT_FILE to a file of certificates in PEM form, or unset it"
        return [*found, Finding("certificates", "wrong", f"SSL_CERT_FILE={bundle}: {error}", fix)]
    paths = ssl.get_default_verify_paths()
    if not count and not (paths.capath and any(Path(paths.capath).iterdir())):
        return [*found, Finding("certificates", "wrong", "none are known", "apt-get install ca-certificates")]
    return [*found, Finding("certificates", "ok", f"{count} authorities from {bundle or paths.cafile or paths.capath}")]


def _proxy(name: str, value: str) -> Finding:
    """Say whether a proxy can be reached; its password is not shown."""
    import socket

    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname or "", parts.port or 80
        with socket.create_connection((host, port), timeout=5):
            return Finding(name, "ok", f"{host}:{port} answers")
    except (OSError, ValueError) as error:
        return Finding(name, "wrong", f"the proxy cannot be reached: {error}", f"correct {name}, or unset it")


async def models(settings: Settings, environ: Mapping[str, str], *, call: bool) -> list[Finding]:
    """Look at the model: its key, its context window, and with `call` whether it answers and calls a tool."""
    from hostler.definitions import model_name
    from hostler.models.registry import Registry
    from hostler.models.settings import Override

    known = {
        name: Override(model.context_window, model.vision, model.base_url, model.api_key)
        for name, model in settings.models.items()
    }
    registry = Registry(environ, overrides=known)
    name = model_name(settings)
    try:
        model = registry.get(name)
    except FailedPrecondition as problem:
        return [Finding("model", "wrong", problem.message, "set the variable that is named, or HOSTLER_MODEL")]
    try:
        if model.info.scripted:
            said = f"{name} follows a script and needs no key"
            return [Finding("model", "weak", said, "set HOSTLER_MODEL=PROVIDER:NAME and that provider's key")]
        found = [Finding("model key", "ok", f"set for {name}"), _window(name, model.info.context_window)]
        return [*found, *(await _called(model, name) if call else [])]
    finally:
        await registry.close()


def _window(name: str, size: int) -> Finding:
    if size:
        return Finding("model context", "ok", f"{size:,} tokens")
    fix = f'set context_window below [models."{name}"] in hostler.toml'
    return Finding("model context", "weak", "not known, so long conversations may fail", fix)


async def _called(model: Model, name: str) -> list[Finding]:
    """Make one small call with one tool."""
    request = ModelRequest("You check a connection.", (UserMessage(parts=(Text(ASKED),)),), (TOOL,))
    started = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE):
            reply = await model.call(request, lambda delta: None)
    except ModelRefused as problem:
        return [Finding("model answers", "wrong", problem.message, "check the key, the model's name and your plan")]
    except (ModelError, TimeoutError, OSError) as problem:
        said = str(problem) or f"no answer within {PATIENCE:.0f} s"
        return [Finding("model answers", "wrong", said, "check the base URL, HTTPS_PROXY and SSL_CERT_FILE")]
    answers = Finding("model answers", "ok", f"{name} in {time.monotonic() - started:.1f} s")
    if any(isinstance(part, ToolCall) and part.name == TOOL.name for part in reply.parts):
        return [answers, Finding("model calls tools", "ok", "one call made")]
    return [
        answers,
        Finding("model calls tools", "wrong", "it did not call the tool", "choose a model that calls tools"),
    ]
