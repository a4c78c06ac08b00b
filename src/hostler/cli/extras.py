"""What Hostler serves beside the API of the contract: the whole view, diffs, tokens, replay."""

import re
from dataclasses import dataclass
from typing import Any

from hostler.cli import endings
from hostler.cli.client import Client
from hostler.cli.endings import SHORT
from hostler.cli.problems import Problem, usage
from hostler.cli.screen import line

PREFIX = "/api/hostler/v1"
REFUSED = "{0} is refused by the allow list; allow it with: hostler allow {0} --environment {1}"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Patch:
    """What an execution changed, as git writes it; `cut` says that it was too large and is incomplete."""

    data: bytes
    cut: bool
    turn: int = 0
    """The turn at whose end it was kept; 0: it is as the environment has it now."""


def seen(client: Client, execution: str) -> Json:
    """Return the execution, with `hostler` beside it: what the contract has no name for."""
    more = client.json("GET", f"{PREFIX}/executions/{execution}")
    return {**client.execution(execution), "hostler": more.get("hostler", {})}


def noted(found: Json) -> list[str]:
    """Return what people should know about an execution: notes, warnings, refused hosts and how to allow them."""
    extra = found.get("hostler", {})
    hosts = [re.sub(r":(443|80)$", "", line(host)) for host in extra.get("refusedHosts", [])]
    said = [text for text in endings.warnings(found) if not text.startswith("refused by the allow list")]
    script, id_ = _answered_by(extra), str(found.get("id", ""))[:SHORT]
    return [*([script] if script else []), *said, *(REFUSED.format(host, id_) for host in dict.fromkeys(hosts))]


def _answered_by(extra: Json) -> str:
    """Say that a script stands in for a model; else nothing."""
    model = line(str(extra.get("model", "")))
    if not model.startswith("scripted:"):
        return ""
    return f"a script answers in place of a model ({model}): set HOSTLER_MODEL and its provider's key for real work"


def verdict(client: Client, execution: str) -> tuple[str, str]:
    """Return whether "done" is backed by checks: a word for it, and a sentence; nothing where that cannot be had."""
    try:
        found: Json = client.json("GET", f"{PREFIX}/executions/{execution}/receipts").get("verdict", {})
    except Problem:
        return "", ""
    return str(found.get("kind", "")), line(str(found.get("sentence", "")))


def patch(client: Client, execution: str, turn: int = 0) -> Patch:
    """Return what an execution changed in its workspace, or what was kept of it at the end of a turn."""
    asked = f"?turn={turn}" if turn else ""
    with client.open("GET", f"{PREFIX}/executions/{execution}/diff{asked}") as reply:
        kept = reply.header("X-Hostler-Kept-Turn")
        cut = reply.header("X-Hostler-Cut").lower() == "true"
        return Patch(reply.read(), cut, int(kept) if kept.isdigit() else 0)


def applied(client: Client, execution: str, commit: str) -> None:
    """Tell the server that what it keeps of an execution has come home, so that nobody is warned of losing it."""
    client.json("POST", f"{PREFIX}/executions/{execution}/applied", {"commit": commit})


def resolve(client: Client, kind: str, prefix: str) -> str:
    """Return the one id of a kind that begins so; Problem for none, a usage problem for several."""
    try:
        return str(client.json("GET", f"{PREFIX}/resolve?prefix={prefix}&kind={kind}")["id"])
    except Problem as problem:
        if problem.code == "invalid_argument":
            raise usage(problem.message.removeprefix("prefix: ")) from None
        raise


def replayed(client: Client, execution: str) -> Json:
    """Have the projection rebuilt from the log; return {events, equal, differences: [{path, kept, rebuilt}]}."""
    return client.json("GET", f"{PREFIX}/executions/{execution}/replay")


def calls(client: Client, execution: str) -> Json:
    """Return every model call of an execution: {calls: [...], total, estimated}."""
    return client.json("GET", f"{PREFIX}/executions/{execution}/calls")


def info(client: Client) -> Json:
    """Return who calls, and which server and runner answer."""
    return client.json("GET", f"{PREFIX}/info")


def tokens(client: Client) -> list[Json]:
    """Return the API tokens, without their secrets."""
    return client.json("GET", f"{PREFIX}/tokens").get("tokens", [])


def new_token(client: Client, name: str, scope: str, days: float, account: str = "") -> Json:
    """Make an API token, with `days` 0 one that holds for ever; its text is in `token`.

    `account` is an account's id, or the name of a service account, which is made when there is none; else one's own.
    """
    owner = (
        {}
        if not account
        else {"account" if len(account) == 36 and account.count("-") == 4 else "service_account": account}
    )
    asked = {"name": name, "scope": scope, **owner, **({"days": days} if days else {})}
    return client.json("POST", f"{PREFIX}/tokens", asked)


def revoke(client: Client, token: str) -> None:
    """Revoke an API token by its id."""
    client.json("DELETE", f"{PREFIX}/tokens/{token}")


def report(client: Client) -> Json:
    """Return what the server knows of its own health."""
    return client.json("GET", f"{PREFIX}/doctor")
