"""`hostler wake`: telling an agent that what it waits for has come."""

from typing import Annotated, Any

import typer

from hostler.cli import endings, ids, places
from hostler.cli.client import Client
from hostler.cli.extras import seen
from hostler.cli.options import AsJson, DataDir, Execution
from hostler.cli.problems import Problem, usage
from hostler.cli.screen import emit, say

Json = dict[str, Any]
PAYLOADS = {"timer": "timer", "environment": "environment", "devcontainer_rebuild": "devcontainerRebuild"}
"""Kinds that somebody may tell of; sub-agents tell themselves."""


def wake(
    execution: Execution,
    interest: Annotated[
        str, typer.Argument(metavar="[INTEREST]", help="Which one, or a prefix of its id; none: the only one.")
    ] = "",
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Tell an agent that what it waits for has come, before its time.

    `hostler show ID` lists what it waits for. A message wakes it as well: `hostler send ID TEXT`.

    Examples:

        hostler wake 0198c2

        hostler wake 0198c2 5f0e
    """
    client = Client(places.find(data_dir))
    found = ids.execution(client, execution)
    one = _meant(seen(client, found), interest)
    payload: Json = {}
    if one["kind"] == "devcontainer_rebuild":
        payload = {"phase": "running"}
    event = {"interestId": one["id"], PAYLOADS[one["kind"]]: payload}
    client.agents("SendToAgentExecution", {"agentExecutionId": found, "wakeEvent": event})
    emit(event) if json else say(f"woken: {endings.waited({'text': one.get('text', '')})}")


def _meant(found: Json, interest: str) -> Json:
    waits = [one for one in found["hostler"].get("waits", []) if one["kind"] in PAYLOADS]
    fitting = [one for one in waits if str(one["id"]).startswith(interest)]
    if len(fitting) == 1:
        return fitting[0]
    listed = "; ".join(f"{endings.waited(one)} [{one['id']}]" for one in waits)
    if not waits:
        raise Problem("it waits for nothing that can be told from outside; say something with: hostler send")
    raise usage(f"name one of what it waits for: {listed}")
