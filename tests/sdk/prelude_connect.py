"""What every script for a 1.x client begins with: one way to any RPC in both releases, and a way to report."""

import base64
import json
import sys
import urllib.request

from gitpod.v1 import agent_pb2, environment_pb2, event_pb2, identity_pb2, service_account_pb2, user_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from ona_sdk import WriteFileMode as Mode  # noqa: F401
from ona_sdk import create_client_from_env
from ona_sdk.agents import AgentSession

try:
    from connectrpc.errors import ConnectError
except ImportError:  # the older release brings its own transport
    from ona_sdk.errors import ConnectError

client = create_client_from_env()
environments = client.environments()
arguments = sys.argv[1:]
MODULES = {
    "agent": agent_pb2,
    "environment": environment_pb2,
    "event": event_pb2,
    "identity": identity_pb2,
    "service_account": service_account_pb2,
    "user": user_pb2,
}


def tell(**seen):
    """Report what the client saw, as one line of JSON."""
    print(json.dumps(seen, default=str))  # noqa: T201


def call(method, service="agent", timeout=None, **fields):
    """Call an RPC by its name with fields in JSON's form; the client sends and receives protobuf."""
    messages = MODULES[service]
    request = ParseDict(fields, getattr(messages, f"{method}Request")())
    if hasattr(client, "services"):
        answer = getattr(getattr(client.services, service), snake(method))(
            request, **({"timeout_ms": int(timeout * 1000)} if timeout else {})
        )
    else:
        name = f"gitpod.v1.{service.title().replace('_', '')}Service"
        answer = client._transport.unary(name, method, request, getattr(messages, f"{method}Response"), timeout)
    return MessageToDict(answer)


def events(timeout=None, **fields):
    """Yield what WatchEvents says, in JSON's form."""
    request = ParseDict(fields, event_pb2.WatchEventsRequest())
    if hasattr(client, "services"):
        stream = client.services.event.watch_events(request, **({"timeout_ms": int(timeout * 1000)} if timeout else {}))
    else:
        answer = event_pb2.WatchEventsResponse
        stream = client._transport.server_stream("gitpod.v1.EventService", "WatchEvents", request, answer, timeout)
    return map(MessageToDict, stream)


def snake(name):
    """Return a method's name as Python writes it."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def start(repository="", task="", **more):
    """Start the built-in agent, on a repository and with a task where they are given; return its session."""
    if repository:
        more["codeContext"] = {"contextUrl": {"url": repository}}
    session = AgentSession(client, call("StartAgent", **more)["agentExecutionId"])
    if task:
        session.send_message(task)
    return session


def get(execution):
    """Return an execution."""
    return call("GetAgentExecution", agentExecutionId=execution)["agentExecution"]


def conversation(session, **headers):
    """Return the conversation's frames up to its end, each as (number, kind, body in JSON's form)."""
    token = call("CreateAgentExecutionConversationToken", agentExecutionId=session.id())["token"]
    url = get(session.id())["status"]["conversationUrls"]["live"]
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}", **headers})
    kinds = {1: agent_pb2.AgentResponseBlock, 2: agent_pb2.UserInputBlock, 3: agent_pb2.AgentMessage}
    frames, number = [], ""
    with urllib.request.urlopen(request) as stream:
        for line in map(bytes.decode, stream):
            name, _, value = line.strip().partition(": ")
            if name == "id":
                number = value
            elif name == "data" and "frame" in json.loads(value):
                data = base64.b64decode(json.loads(value)["frame"])
                frames.append((number, data[0], MessageToDict(kinds[data[0]].FromString(data[1:]))))
    return frames


def refusal(method, *arguments, **fields):
    """Return what the client makes of a refusal: its class, the code and the message."""
    try:
        return {"answered": str(method(*arguments, **fields))}
    except ConnectError as error:
        code = getattr(error.code, "value", error.code)
        return {"class": type(error).__name__, "code": code, "message": error.message}
    except Exception as error:  # noqa: BLE001
        return {"class": type(error).__name__, "message": str(error)}
