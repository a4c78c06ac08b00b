"""What every script for a 0.x client begins with: the client as its documentation makes it, and a way to report."""

import gc
import json
import sys

import httpx
from gitpod import APIStatusError, Gitpod

# An answer left open in the middle is closed when garbage is collected; when that happens while the client's own HTTP
# library holds its pool's lock, it waits for itself for ever. These scripts are short, so nothing is collected.
gc.disable()
client = Gitpod()
agents = client.agents


def tell(**seen):
    """Report what the client saw, as one line of JSON; times and models are written as their text."""
    line = json.dumps(seen, default=lambda value: value.to_dict() if hasattr(value, "to_dict") else str(value))
    print(line)  # noqa: T201


def start(repository="", task="", **more):
    """Start the built-in agent, on a repository and with a task where they are given; return the execution's id."""
    if repository:
        more["code_context"] = {"context_url": {"url": repository}}
    execution = agents.start_execution(**more).agent_execution_id
    if task:
        say(execution, task)
    return execution


def say(execution, text, **more):
    """Send a text in the form that every release knows."""
    agents.send_to_execution(agent_execution_id=execution, user_input={"text": {"content": text}, **more})


def get(execution):
    """Return an execution."""
    return agents.retrieve_execution(agent_execution_id=execution).agent_execution


def watch(execution, *phases):
    """Watch an execution's events and get it after each, as its users do; return every phase up to one of `phases`."""
    kind = {"resource_type": "RESOURCE_TYPE_AGENT_EXECUTION", "resource_ids": [execution]}
    seen = []
    for event in client.events.watch(
        organization=True,
        extra_body={"resourceTypeFilters": [kind]} if OLD else {},
        **({} if OLD else {"resource_type_filters": [kind]}),
    ):
        if event.resource_id == execution:
            seen.append(get(execution).status.phase)
            if seen[-1] in phases:
                return seen
    return seen


def changes(environment):
    """Yield the events of an environment."""
    kind = {"resource_type": "RESOURCE_TYPE_ENVIRONMENT", "resource_ids": [environment]}
    yield from client.events.watch(organization=True, resource_type_filters=[kind])


def until(environment, phase):
    """Watch an environment's events and get it after each; return every phase up to the one that is waited for."""
    seen = []
    for _ in changes(environment):
        status = client.environments.retrieve(environment_id=environment).environment.status
        seen.append(status.phase)
        if seen[-1] == phase or status.failure_message:
            return seen
    return seen


def inside(environment, method, token, **fields):
    """Call an operation inside an environment; the client has no method for it."""
    url = client.environments.retrieve(environment_id=environment).environment.status.environment_urls.ops
    path = f"{url}/supervisor.v1.EnvironmentOpsService/{method}"
    return httpx.post(path, json=fields, headers={"Authorization": f"Bearer {token}"}, timeout=60).json()


def conversation(execution):
    """Return the conversation's frames up to its end, each as (number, kind, body); the client has no method for it."""
    token = agents.create_execution_conversation_token(agent_execution_id=execution).token
    url = get(execution).to_dict()["status"]["conversationUrls"]["live"]
    frames, number = [], ""
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.stream("GET", url, params={"format": "json"}, headers=headers, timeout=None) as stream:
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                number = value
            elif name == "data" and "tag" in json.loads(value):
                frames.append((number, json.loads(value)["tag"], json.loads(value)["body"]))
    return frames


def refusal(call, *arguments, **more):
    """Return what the client makes of a refusal: its class, the HTTP status and the body."""
    try:
        return {"answered": str(call(*arguments, **more))}
    except APIStatusError as error:
        return {"class": type(error).__name__, "status": error.status_code, **error.response.json()}


OLD = "resource_type_filters" not in client.events.watch.__annotations__
arguments = sys.argv[1:]
