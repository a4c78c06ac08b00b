"""Environments: what official workflows do with one, and the prompts' library, which needs none."""

import base64
import hashlib
import uuid

from hostler.conformance.bench import Bench, Failed, check, expect, refused
from hostler.conformance.events import lines
from hostler.conformance.wire import ENVIRONMENTS, IDENTITY, Answer, Json
from hostler.conformance.wire import text as text_of

OPS = "supervisor.v1.EnvironmentOpsService"


def inside(bench: Bench, method: str, body: Json) -> Answer:
    """Call an operation as the workflows do: by the URL in the status, with an environment token."""
    environment = bench.own_environment()
    found = bench.call(f"{ENVIRONMENTS}/GetEnvironment", {"environmentId": environment})["environment"]
    url = found.get("status", {}).get("environmentUrls", {}).get("ops")
    if not url:
        raise Failed(f"status.environmentUrls has no ops: {found.get('status')}")
    token = bench.call(f"{ENVIRONMENTS}/CreateEnvironmentAccessToken", {"environmentId": environment})
    given = str(token.get("accessToken") or token.get("token") or "")
    return bench.wire.post(f"{url}/{OPS}/{method}", body, token=given)


@check("environments.list", "workflows, 6")
def listed(bench: Bench) -> None:
    """An environment of one's own is listed by its creator's id."""
    who = bench.call(f"{IDENTITY}/GetAuthenticatedIdentity")["subject"]["id"]
    environment = bench.own_environment()
    body = {"pagination": {"pageSize": 100}, "filter": {"creatorIds": [who]}}
    found = bench.call(f"{ENVIRONMENTS}/ListEnvironments", body).get("environments", [])
    if environment not in [one.get("id") for one in found]:
        raise Failed(f"{environment} is not among the {len(found)} environments of {who}")


@check("environments.exec", "workflows, 5")
def executes(bench: Bench) -> None:
    """Exec runs a command with sh -c and returns what it wrote and its exit code."""
    answer = inside(bench, "Exec", {"command": "printf 'a b'; exit 3", "operationId": str(uuid.uuid4())})
    expect(answer.status, 200, "the status", answer)
    expect(answer.json.get("stdout"), "a b", "stdout", answer)
    expect(answer.json.get("exitCode"), 3, "exitCode", answer)


@check("environments.exec-once", "workflows, 5: operation_id is an idempotency key")
def executes_once(bench: Bench) -> None:
    """The same operation_id again returns the stored result and runs nothing."""
    key, file = str(uuid.uuid4()), f"once-{bench.run[:8]}"
    body = {"command": f"echo x >> {file}; wc -l < {file}", "operationId": key}
    first, again = inside(bench, "Exec", body), inside(bench, "Exec", body)
    expect((again.status, again.json.get("stdout")), (200, first.json.get("stdout")), "the repeat", again)
    counted = inside(bench, "Exec", {"command": f"wc -l < {file}", "operationId": str(uuid.uuid4())})
    expect(str(counted.json.get("stdout")).strip(), "1", "how often it ran", counted)


@check("environments.files", "workflows, 5: content_hash = SHA-256 hex of the returned data")
def files(bench: Bench) -> None:
    """What is written is read back, with its hash."""
    data = f"Grüße {bench.run}\n".encode()
    name = f"file-{bench.run[:8]}"
    written = inside(bench, "WriteFile", {"path": name, "content": base64.b64encode(data).decode()})
    expect(written.status, 200, "WriteFile", written)
    read = inside(bench, "ReadFile", {"path": name})
    expect(read.status, 200, "ReadFile", read)
    content = read.json.get("content", {})
    expect(_bytes(content.get("data", "")), data, "what is read", read)
    expect(content.get("contentHash"), hashlib.sha256(data).hexdigest(), "contentHash", read)


@check("environments.tokens-are-narrow", "Tokens: environment tokens")
def narrow(bench: Bench) -> None:
    """Nobody runs a command without the environment's token."""
    environment = bench.own_environment()
    found = bench.call(f"{ENVIRONMENTS}/GetEnvironment", {"environmentId": environment})["environment"]
    url = found.get("status", {}).get("environmentUrls", {}).get("ops")
    answer = bench.wire.post(f"{url}/{OPS}/Exec", {"command": "true"}, token="garbage")
    refused(answer, 401, "unauthenticated", "Exec with garbage for a token")


@check("environments.watched", "hazard 2")
def watched(bench: Bench) -> None:
    """Who subscribes to an environment is told of it at once."""
    environment = bench.own_environment()
    kind = {"resourceType": "RESOURCE_TYPE_ENVIRONMENT", "resourceIds": [environment]}
    with lines(bench, {"organization": True, "resourceTypeFilters": [kind]}) as stream:
        event = stream.next()
    expect(event.get("resourceId"), environment, "who was told of")
    expect(event.get("operation"), "RESOURCE_OPERATION_UPDATE_STATUS", "the operation of the first event")


@check("prompts.kept", "Prompts are an organization's library")
def kept(bench: Bench) -> None:
    """A prompt is made, found, changed and removed."""
    made = bench.prompt(isTemplate=True)
    body = {"promptId": made["id"]}
    expect(bench.call("GetPrompt", body)["prompt"].get("id"), made["id"], "the id")
    bench.call("UpdatePrompt", {**body, "spec": {"prompt": "Say more."}})
    expect(bench.call("GetPrompt", body)["prompt"]["spec"].get("prompt"), "Say more.", "the changed prompt")
    bench.call("DeletePrompt", body)
    refused(bench.wire.post("GetPrompt", body), 404, "not_found", "a deleted prompt")


@check("prompts.command-clash", "Prompts: command is unique in the organization; hazard 6")
def command_clash(bench: Bench) -> None:
    """A second prompt with the same command is already_exists, and final."""
    command = f"c{bench.run[:8]}"
    bench.prompt(isCommand=True, command=command)
    body = {"name": "second", "description": "d", "prompt": "p", "isCommand": True, "command": command}
    answer = bench.wire.post("CreatePrompt", body)
    refused(answer, 409, "already_exists", "the same command again")
    expect(answer.headers.get("x-should-retry"), "false", "x-should-retry of already_exists")


@check("prompts.deceptive", "AgentService: deceptive Unicode in a prompt")
def deceptive(bench: Bench) -> None:
    """A prompt with a bidirectional control is refused, with what it would be without."""
    body = {"name": "deceptive", "description": "d", "prompt": "a\u202eb"}
    answer = bench.wire.post("CreatePrompt", body)
    refused(answer, 400, "invalid_argument", "a prompt with U+202E")
    details = {one.get("type"): one.get("value", "") for one in answer.json.get("details", [])}
    value = details.get("gitpod.v1.PromptValidationErrorDetails")
    if value is None:
        raise Failed(f"no PromptValidationErrorDetails among the details: {answer}")
    expect(text_of(_bytes(value), 1), "ab", "cleaned_text")


def _bytes(value: object) -> bytes:
    """Return bytes from JSON, padded or not."""
    text = str(value)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return text.encode()
