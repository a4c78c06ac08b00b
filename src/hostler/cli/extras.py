"""What Hostler serves beside the API of the contract: the whole view, diffs, tokens, replay, health."""

from typing import Any

from hostler.cli import endings
from hostler.cli.client import Client
from hostler.cli.problems import Problem
from hostler.cli.screen import line

PREFIX = "/api/hostler/v1"
Json = dict[str, Any]


def seen(client: Client, execution: str) -> Json:
    """Return the execution, with `hostler` beside it: what the contract has no name for."""
    found = client.execution(execution)
    try:
        return {**found, "hostler": client.json("GET", f"{PREFIX}/executions/{execution}").get("hostler", {})}
    except Problem as problem:
        if problem.code in ("not_found", "unimplemented"):
            return found
        raise


def noted(found: Json) -> list[str]:
    """Return what people should know about an execution: notes, warnings, refused hosts and how to allow them."""
    extra = found.get("hostler", {})
    hosts = [line(host) for host in extra.get("refusedHosts", [])]
    said = [text for text in endings.warnings(found) if not text.startswith("refused by the allow list")]
    allowed = [f"{host} is refused by the allow list; allow it with: hostler allow {host}" for host in hosts]
    if not extra:
        return endings.warnings(found)
    return [*said, *allowed]
