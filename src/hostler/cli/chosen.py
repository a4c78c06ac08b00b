"""Which environment is meant, and the way into it."""

from typing import Annotated, Any

import typer

from hostler.cli import ids
from hostler.cli.client import ENVIRONMENTS, OPS, Client
from hostler.cli.problems import Problem

Json = dict[str, Any]
Environment = Annotated[
    str, typer.Argument(metavar="ENV", help="An environment's id, or an execution's (its environment); prefixes do.")
]


def find(client: Client, given: str) -> str:
    """Return the id of the environment that is meant, by its own id or by that of an execution that works in it."""
    prefix = given.strip().lower()
    try:
        meant = ids.whole(client, "environment", prefix)
        if not ids.WHOLE.fullmatch(prefix):
            return meant
        client.call(ENVIRONMENTS, "GetEnvironment", {"environmentId": meant})
        return meant
    except Problem as problem:
        if problem.code != "not_found":
            raise
    try:
        status: Json = client.execution(ids.execution(client, prefix)).get("status", {})
    except Problem as problem:
        if problem.code != "not_found":
            raise
        status = {}
    used: list[str] = [entry["environmentId"] for entry in status.get("usedEnvironments", [])]
    if not used:
        raise Problem(f"there is no environment {given}, nor an execution that has one", code="not_found")
    return used[0]


def phase_of(status: Json) -> str:
    """Return an environment's phase as people write it."""
    return str(status.get("phase", "")).removeprefix("ENVIRONMENT_PHASE_").lower() or "unknown"


class Way:
    """The operations of one environment; a stopped one is started by the server when it is asked for something."""

    def __init__(self, client: Client, environment: str) -> None:
        self.client = client
        self.environment = environment

    def path(self, method: str) -> str:
        """Return where a method of the environment's operations is served."""
        return f"/api/environments/{self.environment}/ops/{OPS}/{method}"

    def call(self, method: str, body: Json, *, timeout: float = 60.0) -> Json:
        """Call a method of the environment's operations."""
        return self.client.json("POST", self.path(method), body, timeout=timeout)
