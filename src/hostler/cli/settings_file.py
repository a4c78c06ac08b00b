"""The text of hostler.toml: every setting with its default and what it does, all commented out.

A line that begins with `# ` is prose; one that begins with `#` and no space is a setting to be uncommented. Importing
this imports the server's settings, so only `init` and `allow` do.
"""

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from hostler.config import Settings

ACCOUNTS = {
    "create": "Whether whoever comes for the first time gets an account; otherwise an administrator makes it.",
    "role": "The role of new accounts: read, run or admin.",
    "domains": "Where addresses must be of, such as example.com; empty: any.",
}
MEANINGS: Mapping[str, str] = {
    "server": "Where the API is served.",
    "server.host": "The address to listen on. Beyond 127.0.0.1, repositories of this machine cannot be named by path.",
    "server.port": "The port; 0 takes a free one.",
    "server.public_url": "Where clients reach the server, such as https://hostler.example; empty: as they asked.",
    "server.peer_url": "Where other processes on the same database reach this one; empty: where it listens.",
    "server.name": "What this machine is called among others; empty: its host name.",
    "server.lease_seconds": "How long a sign of life of this process counts; the same on all machines.",
    "sign_in": "Ways to sign in beside API tokens.",
    "sign_in.oidc": "Signing in with OpenID Connect.",
    "sign_in.oidc.issuer": "The provider, such as https://accounts.example.com; empty: nobody signs in so.",
    "sign_in.oidc.client_id": "What Hostler is called there; it comes back at /sign-in/callback.",
    "sign_in.oidc.client_secret": "The secret that goes with it; it is never shown.",
    "sign_in.oidc.name": "What the sign-in page calls the provider; empty: its host.",
    "sign_in.oidc.scopes": "What is asked for; openid always is.",
    "sign_in.proxy": "Believing a proxy in front of the server that has signed people in.",
    "sign_in.proxy.header": "The header in which it says who somebody is; empty: no proxy is believed. It must take "
    "away what clients send under that name.",
    "sign_in.proxy.addresses": "Addresses or networks that the proxy comes from; others are never believed.",
    "sign_in.oidc.role_claim": "The claim that the role is read from at every sign-in, such as groups; empty: none.",
    "sign_in.oidc.roles": "Roles by the values of that claim; who has none of them is not let in.",
    **{f"sign_in.{way}.{name}": text for way in ("oidc", "proxy") for name, text in ACCOUNTS.items()},
    "policy": "What holds for every agent, whoever starts it.",
    "policy.denied_commands": "Shell commands that are not run: patterns matched word by word, where * stands for any "
    'words, such as "git push *" or "sudo *". They hold for executions that are started from then on.',
    "approvals": "Calls that wait for a person's word.",
    "approvals.deadline_minutes": "How long one waits before it is denied.",
    "rates": "Requests a minute; 0: any number. What goes beyond is refused with a time to come back.",
    "rates.caller": "Of one person or service account, on each process.",
    "rates.address": "Of one address, without a credential that was good before; this machine itself is not counted.",
    "rates.attempts": "Of one address, with a token, link or sign-in that is not good.",
    "retention": "For how many days things are kept; 0: for ever. `hostler gc --dry-run` says what would go.",
    "retention.executions_days": "Executions that neither ran nor changed for so long, with their kept work.",
    "retention.environment_log_days": "Logs of environments that are stopped.",
    "retention.usage_days": "What executions that are gone had used.",
    "retention.expired_days": "Tokens, shares and credentials, after they have expired.",
    "retention.setup_cache_days": "What setup commands made, since it was used last.",
    "telemetry": "Traces and metrics by OpenTelemetry; needs the extra hostler[otel].",
    "telemetry.endpoint": "Of OTLP over HTTP, such as http://127.0.0.1:4318; empty: OTEL_EXPORTER_OTLP_ENDPOINT, "
    "else off.",
    "telemetry.headers": "Headers that are sent with it, such as a token; their values are never shown.",
    "telemetry.seconds": "Seconds between two exports of metrics.",
    "log_level": "The least of debug, info, warning and error that is written to the server's log.",
    "log_format": "json; text; or auto: text on a terminal, else json.",
    "audit_days": "Days for which the audit log is kept.",
    "data_dir": "Where log, blobs, environments, token and server.json live; empty: the default folder.",
    "database_url": "postgresql://… instead of hostler.db in the data folder.",
    "model": "The model of agents that name none, PROVIDER:NAME with the provider out of anthropic, openai-responses, "
    "openai-chat, scripted. Keys come from the provider's own variables. Empty: the scripted demonstration.",
    "allowed_models": "What `hostler run --model` may name besides the agents' own; empty: any model.",
    "agents": "The agents that can be started, the default one first.",
    "agents.id": "A uuid that stays; clients name the agent by it.",
    "agents.name": "What people call it, as in `hostler run --agent NAME`.",
    "agents.description": "What it is good for.",
    "agents.driver": "What runs it.",
    "agents.model": "PROVIDER:NAME; empty: the model above.",
    "agents.system_prompt": "Said to the model before everything else; empty: Hostler's own.",
    "agents.initial_message": "Sent by itself when an execution starts.",
    "agents.effort": "How long the model thinks: low, medium, high, max; empty: as the provider does.",
    "agents.mcp": "The keys of its MCP servers, of those below; * is all of them.",
    "agents.judgement_prompt": "What a judge is told, who reads the receipts of a turn and no claim; empty: no judge.",
    "agents.judgement_model": "PROVIDER:NAME of the judge; empty: the agent's own.",
    "agents.conditions": "Loop conditions: {id, expression, description, max_iterations}; until they hold over the "
    "outputs, the agent is told to go on.",
    "agents.requires": "Outputs without which a run is not done: {key, type, accept, description}.",
    "agents.permissions": "Rules on its tool calls: {tool, pattern, verdict, reason}, the verdict out of allow, ask, "
    "deny; the first that fits counts.",
    "agents.limits": "Its budget for one execution; 0 is no limit.",
    "agents.limits.max_iterations": "Model calls.",
    "agents.limits.max_input_tokens": "Tokens read, cached ones included.",
    "agents.limits.max_output_tokens": "Tokens written.",
    "agents.limits.max_seconds": "Seconds of work; waiting does not count.",
    "agents.limits.max_cost": "US dollars, of models whose price is configured; sub-agents count.",
    "agents.limits.max_subagents": "Sub-agents in the whole tree; 0 means 20.",
    "agents.limits.max_depth": "How deep sub-agents may start sub-agents; 0 means 3.",
    "models": "What is known of a model beyond what its provider's library knows. An example:\n"
    '[models."openai-chat:llama3"]\n'
    'base_url = "http://127.0.0.1:11434/v1"\n'
    "context_window = 32768\n"
    "vision = false\n"
    'api_key = ""',
    "mcp": "MCP servers, whose tools agents are given: a command inside each environment, or a URL. An example:\n"
    "[mcp.docs]\n"
    'url = "https://mcp.example.org/mcp"\n'
    'headers = { Authorization = "Bearer TOKEN" }\n'
    'tool_deny_list = ["delete_*"]\n'
    "timeout = 30",
    "forges": "Which API a code host has, where its name does not say. An example:\n"
    '[forges."git.example"]\n'
    'kind = "gitlab"',
    "classes": "Sizes of environments. `hostler doctor` says which limits this machine can enforce.",
    "classes.id": "A uuid that stays; clients name the class by it.",
    "classes.name": "What people call it.",
    "classes.description": "What people read about it.",
    "classes.cpus": "Processors.",
    "classes.memory_gib": "GiB of memory.",
    "classes.disk_gib": "GiB of files.",
    "classes.processes": "Processes and threads.",
    "classes.idle_minutes": "Minutes without use after which it is stopped; its files stay.",
    "classes.allow": "Hosts that may be reached from it, besides those below.",
    "classes.setup": "Shell commands that are run once in each new environment, after its content is there.",
    "classes.variables": "Variables for every command inside; they are no place for secrets.",
    "default_class": "The name of the class that is meant when none is named.",
    "allow": "Hosts that every environment may reach, besides its repository's: example.org, *.example.org (and all "
    "below), host:port (80 and 443 otherwise). `hostler allow HOST` adds one here.",
    "private_hosts": "Hosts (or host:port) that may lie in your own network; all others must have a public address.",
    "credential_required": "Code hosts (or host:port) that serve nobody without a credential; clients are told so.",
    "sandbox": "bubblewrap; or none, which runs agents with no walls around them.",
    "slots": "Turns that run at once; 0: 32 for each processor.",
    "settle_seconds": "The least length of a turn, for clients that would miss a shorter one.",
    "secrets": "Texts that are hidden wherever they turn up, beyond the keys that Hostler knows itself.",
    "keep_days": "Days for which what an execution changed is kept outside its environment, from the last turn on.",
    "keep_mib": "MiB that one turn's changes may take, packed; more is not kept.",
    "mirror_gib": "GiB for mirrors of remote repositories, which make the next clone quick; 0: none are made.",
    "setup_cache_gib": "GiB for what setup commands made, brought back where they would do the same; 0: none is kept.",
    "wait_hours": "Hours after which an agent is woken although nothing came of its wait; timers may be longer.",
    "idle_exit_minutes": "Minutes with nothing to do after which the server ends; 0: never.",
}
HEAD = (
    "Settings of Hostler. Everything here is commented out and shows its default; uncomment what you change.\n"
    "A variable wins over this file, an option over both: HOSTLER_MODEL, HOSTLER_SERVER__PORT (two underscores), …\n"
    "The server reads this file when it starts."
)

WIDTH = 110


def text() -> str:
    """Return the whole file."""
    defaults = cast("Mapping[str, Any]", Settings.model_construct().model_dump())
    plain = {name: value for name, value in defaults.items() if not _table(name)}
    parts = [_prose(HEAD), *(_setting(name, value) for name, value in plain.items())]
    for name in (name for name in defaults if _table(name)):
        parts += _tables(name, defaults[name])
    return "\n\n".join(parts) + "\n"


def _table(name: str) -> bool:
    """Say whether a setting is a table, or a list of them; these come after the plain ones, as TOML wants it."""
    default = Settings.model_fields[name].get_default()
    items = cast("Sequence[object]", default) if isinstance(default, tuple) else (default,)
    return name in ("models", "mcp", "forges") or any(isinstance(item, BaseModel) for item in items)


def _tables(name: str, value: Any) -> list[str]:
    """Return the text of a table or of each table of a list."""
    if isinstance(value, tuple | list):
        entries = cast("Sequence[Mapping[str, Any]]", value)
        return [_body(name, f"[[{name}]]", entry, told=number == 0) for number, entry in enumerate(entries)]
    return [_body(name, f"[{name}]", value, told=True)] if value else [_prose(MEANINGS[name])]


def _body(name: str, head: str, entry: Mapping[str, Any], *, told: bool) -> str:
    """Return one table; `told` says what each setting means, which is said for the first of a list only."""
    rows = [*([_prose(MEANINGS[name])] if told else []), f"#{head}"]
    inner: dict[str, Mapping[str, Any]] = {key: value for key, value in entry.items() if isinstance(value, dict)}
    for key, value in entry.items():
        if key not in inner:
            rows.append(_setting(f"{name}.{key}", value) if told else f"#{key} = {toml(value)}")
    for key, value in inner.items():
        rows += ["", _body(f"{name}.{key}", f"[{name}.{key}]", value, told=told)]
    return "\n".join(rows)


def _setting(name: str, value: Any) -> str:
    return f"{_prose(MEANINGS[name])}\n#{name.rpartition('.')[2]} = {toml(value)}"


def _prose(said: str) -> str:
    rows = (row for given in said.split("\n") for row in textwrap.wrap(given, WIDTH, break_on_hyphens=False))
    return "\n".join(f"# {row}" for row in rows)


def toml(value: Any) -> str:
    """Return a plain value, or a list or table of them on one line, as TOML."""
    match value:
        case Mapping():
            items = cast("Mapping[str, Any]", value).items()
            return f"{{{', '.join(f'{json.dumps(name)} = {toml(one)}' for name, one in items)}}}"
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str() | Path():
            return json.dumps(str(value), ensure_ascii=False)
        case _:
            return f"[{', '.join(map(toml, value))}]"
