"""How `codex app-server` is started: no sandbox of its own, no telemetry, no way out but the gateway.

All settings are on the command line, so that a configuration file that somebody left inside changes nothing of them.
"""

import json
import posixpath
import re
from typing import cast

from hostler.core.agents import Launch
from hostler.core.machines import Command
from hostler.core.mcp_servers import McpServer

PROGRAM = "codex"
"""The name under which environments hold the program's folder, in $HOSTLER_PROGRAMS."""
TOKEN = "HOSTLER_LLM_TOKEN"
EXECUTION = "HOSTLER_EXECUTION"
"""Tells people who look at processes whose this one is."""
STREAM_RETRIES = 8
"""A server that is restarted is away for seconds; the waits double from 0.2 s on."""
MCP_START_SECONDS = 60.0
LONGEST_LIFE = 30 * 24 * 3600.0
_OFF = ("apps", "plugins", "remote_plugin", "image_generation", "browser_use", "computer_use", "in_app_browser")
"""What would need accounts or hosts that an environment has not."""
_MISSING = "Codex is not in this environment. Stop the environment and start it again, with hostler[codex] installed."
_START = f"""\
program="$HOSTLER_PROGRAMS/{PROGRAM}/bin/codex"
[ -x "$program" ] || {{ echo "{_MISSING}" >&2; exit 127; }}
mkdir -p "$CODEX_HOME" || exit 1
exec "$program" "$@"
"""


def program(launch: Launch) -> Command:
    """Return the program.

    Its folder of conversations is the execution's own and outlives the process. Making its databases is most of a first
    start; yet several executions cannot share them, for two that make them at once both fail.
    """
    words = ("/bin/sh", "-c", _START, "codex", "app-server")
    env = {"CODEX_HOME": f"{launch.home}/codex", TOKEN: launch.token, EXECUTION: launch.execution, "RUST_LOG": "error"}
    return Command((*words, *_options(launch)), cwd=launch.workspace, env=env, timeout=LONGEST_LIFE, merge=False)


def _options(launch: Launch) -> list[str]:
    provider = {
        "name": "hostler",
        "base_url": f"{launch.gateway.rstrip('/').removesuffix('/v1')}/v1",
        "env_key": TOKEN,
        "wire_api": "responses",
        "stream_max_retries": STREAM_RETRIES,
    }
    values: dict[str, object] = {
        "model_provider": "hostler",
        "model_providers.hostler": provider,
        "approval_policy": "never",
        "sandbox_mode": "danger-full-access",
        "shell_environment_policy.exclude": ["HOSTLER_*", "CODEX_*"],
        "model_reasoning_summary": "auto",
        # It would be done by the provider, past the environment's list of allowed hosts.
        "web_search": "disabled",
        "analytics.enabled": False,
        "feedback.enabled": False,
        "check_for_update_on_startup": False,
        "history.persistence": "none",
        "suppress_unstable_features_warning": True,
        "features.default_mode_request_user_input": True,
        "tools.update_plan.enabled": True,
        **dict.fromkeys((f"features.{name}" for name in _OFF), False),
    }
    values.update((f"mcp_servers.{server.id}", _mcp(server, launch.workspace)) for server in launch.servers)
    return [word for key, value in values.items() for word in ("-c", f"{key}={_toml(value)}")]


def _mcp(server: McpServer, workspace: str) -> dict[str, object]:
    """Return what Codex is told of an MCP server, which it starts, or reaches by the environment's own way out."""
    limits: dict[str, object] = {
        "startup_timeout_sec": MCP_START_SECONDS,
        "tool_timeout_sec": server.timeout,
        "default_tools_approval_mode": "approve",
    }
    if server.deny:
        limits["disabled_tools"] = list(server.deny)
    if server.url:
        return {"url": server.url, "http_headers": dict(server.headers), **limits}
    return {
        "command": server.command,
        "args": list(server.args),
        "env": dict(server.env),
        "cwd": posixpath.join(workspace, server.cwd),
        **limits,
    }


def _toml(value: object) -> str:
    """Write a value in TOML; text in JSON's quotes is the same there."""
    if isinstance(value, dict):
        table = cast("dict[str, object]", value)
        return "{" + ",".join(f"{_key(key)}={_toml(each)}" for key, each in table.items()) + "}"
    return json.dumps(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
