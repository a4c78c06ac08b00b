"""The support bundle: one archive of everything that helps, whole also when a part of it fails."""

import io
import json
import zipfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from hostler.api.server import build
from hostler.core import events as ev
from hostler.core.conversation import Text, Usage
from hostler.core.desk import NewEnvironment
from hostler.core.providers import Scratch
from tests.api.conftest import BOT, CLASSES, OWNER, SECRET, Api, Listening

PARTS = {
    "README.txt",
    "status.json",
    "log.jsonl",
    "row.json",
    "calls.json",
    "environment.json",
    "environment-log.txt",
    "versions.json",
    "settings.json",
    "doctor.json",
    "server-log.jsonl",
}


class Known:
    """A server that tells of itself."""

    def __init__(self) -> None:
        self.lines = ['{"event": "hello"}', f'{{"event": "the key is {SECRET}"}}']
        self.fault: Exception | None = None

    async def versions(self) -> Mapping[str, Any]:
        if self.fault:
            raise self.fault
        return {"python": "3.x"}

    def settings(self, *, admin: bool) -> Mapping[str, Any]:
        return {"model": "scripted:demo", "admin": admin}

    def server_log(self, *naming: str) -> Sequence[str]:
        return [line for line in self.lines if not naming or any(one in line for one in naming)]


@pytest.fixture
def known() -> Known:
    return Known()


@pytest.fixture
async def told(api: Api, known: Known) -> AsyncIterator[Api]:
    """The API of a server that tells of itself."""
    server = Listening(build(replace(api.parts, support=known)))
    port = await server.start()
    async with AsyncClient(timeout=30, verify=False) as http:
        yield replace(api, http=http, url=f"http://127.0.0.1:{port}")
    await server.stop()


async def asked(api: Api, execution: str, token: str | None = "owner-token", query: str = "") -> Response:
    return await api.http.get(f"{api.url}/api/executions/{execution}/bundle{query}", headers=api.headers(token=token))


async def bundle(api: Api, execution: str, token: str = "owner-token") -> dict[str, str]:
    answer = await asked(api, execution, token)
    assert answer.status_code == 200, answer.content
    assert answer.headers["content-disposition"] == f'attachment; filename="support-{execution[:8]}.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        return {name.partition("/")[2]: archive.read(name).decode() for name in archive.namelist()}


async def talked(api: Api) -> str:
    execution = await api.prepared()
    await api.send(execution, "mend this test")
    await api.desk.append(
        execution,
        ev.ModelCallStarted("c1", "scripted:demo"),
        ev.ModelReplied("c1", (Text("Done."),), Usage(10, 5, 1, 3)),
    )
    return execution


async def test_it_holds_the_log_the_status_and_what_is_known_around_them(told: Api) -> None:
    execution = await talked(told)
    files = await bundle(told, execution)
    assert set(files) == PARTS
    log = [json.loads(line) for line in files["log.jsonl"].splitlines()]
    assert [one["seq"] for one in log] == list(range(1, len(log) + 1))
    assert json.loads(files["status.json"])["status"]["phase"] == "PHASE_RUNNING"
    assert json.loads(files["row.json"])["same_as_log"] is True
    assert json.loads(files["calls.json"])["total"]["input"] == 10
    assert json.loads(files["versions.json"])["python"] == "3.x"
    assert json.loads(files["settings.json"])["model"] == "scripted:demo"
    assert json.loads(files["doctor.json"])["reason"] == "the sandbox is missing"
    assert "hello" in files["server-log.jsonl"]
    for name in PARTS - {"README.txt"}:
        assert name in files["README.txt"]


async def test_secrets_are_masked_once_more_in_every_part(told: Api) -> None:
    execution = await talked(told)
    told.parts.redactor.add(["mend this test"])
    text = json.dumps(await bundle(told, execution))
    assert SECRET not in text
    assert "mend this test" not in text
    assert "the key is [redacted]" in text


async def test_an_environment_is_told_with_its_class_and_log_and_its_variables_only_by_name(told: Api) -> None:
    made = NewEnvironment(CLASSES[0].id, Scratch(), variables={"TOKEN": "not known to the server"})
    row = await told.environments.create(made, OWNER)
    execution = await told.started({"codeContext": {"environmentId": row.id}})
    await told.desk.append(execution, ev.EnvironmentReady(row.id, "i"))
    files = await bundle(told, execution)
    (found,) = json.loads(files["environment.json"])
    assert (found["id"], found["class"]["name"]) == (row.id, "Regular")
    assert "not known to the server" not in json.dumps(files)
    assert row.id in files["environment-log.txt"]


async def test_it_is_there_when_the_environment_is_gone(told: Api) -> None:
    execution = await talked(told)
    files = await bundle(told, execution)
    assert json.loads(files["environment.json"])[0]["gone"] is True
    assert "gone" in files["environment-log.txt"]
    assert "errors.txt" not in files


async def test_a_part_that_fails_is_named_and_the_others_are_there(told: Api, known: Known) -> None:
    known.fault = RuntimeError(f"it broke over {SECRET}")
    files = await bundle(told, await talked(told))
    assert set(files) == PARTS | {"errors.txt"}
    assert files["errors.txt"] == "versions.json: RuntimeError: it broke over [redacted]\n"
    assert files["versions.json"] == ""


async def test_it_is_for_administrators_and_who_started_the_execution(told: Api) -> None:
    mine = await talked(told)
    short = (await told.call("CreateAgentExecutionConversationToken", {"agentExecutionId": mine}))["token"]
    for token in (short, "bot-token", "read-token"):
        refused = await asked(told, mine, token)
        assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert (await asked(told, mine, None)).status_code == 401
    assert (await asked(told, f"{mine[:-4]}0000")).status_code == 404
    bots = (await told.call("StartAgent", token="bot-token"))["agentExecutionId"]
    assert (await told.call("GetAgentExecution", {"agentExecutionId": bots}))["agentExecution"]["metadata"]["creator"][
        "id"
    ] == BOT.id
    assert (await asked(told, bots)).status_code == 200
    assert (await asked(told, bots, "read-token")).status_code == 200


async def test_others_than_administrators_see_no_prompt_and_nothing_about_others(told: Api, known: Known) -> None:
    execution = (await told.call("StartAgent", token="bot-token"))["agentExecutionId"]
    known.lines.append(json.dumps({"event": "about you", "execution": execution}))
    files = await bundle(told, execution, "bot-token")
    assert "be kind" not in json.dumps(files)
    assert json.loads(files["settings.json"])["admin"] is False
    assert [json.loads(line)["event"] for line in files["server-log.jsonl"].splitlines()] == ["about you"]
    assert "be kind" in (await bundle(told, execution))["log.jsonl"]
