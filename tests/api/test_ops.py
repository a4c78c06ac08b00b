"""EnvironmentOpsService over a real supervisor, without a sandbox around it."""

import base64
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from hostler.core.desk import NewEnvironment
from hostler.core.machines import Command, Operation
from hostler.core.providers import EnvSpec, Scratch
from hostler.environments.plain import plain_provider
from tests.api.conftest import CLASSES, OWNER, SECRET, Api

OTHER = "0190aaaa-0000-7000-8000-00000000ffff"
SETUP = """
git init -q -b main . && git config user.email a@h && git config user.name a
printf 'one\\ntwo\\nthree\\n' > kept.txt && cp kept.txt gone.txt && cp kept.txt 'with blank.txt'
git add . && git commit -qm first
"""


@dataclass
class Ops:
    """An environment's operations as a client with its token calls them."""

    api: Api
    environment: str
    token: str

    def path(self, method: str) -> str:
        return f"environments/{self.environment}/ops/supervisor.v1.EnvironmentOpsService/{method}"

    async def call(self, method: str, **body: Any) -> dict[str, Any]:
        return await self.api.call(self.path(method), body, token=self.token)

    async def refused(self, method: str, **body: Any) -> dict[str, Any]:
        return await self.api.refused(self.path(method), body, token=self.token)

    async def sh(self, command: str, **more: Any) -> dict[str, Any]:
        return await self.call("Exec", command=command, **more)


@pytest.fixture
async def ops(api: Api) -> AsyncIterator[Ops]:
    root = Path(tempfile.mkdtemp(prefix="h", dir="/tmp"))
    provider = plain_provider(root)
    handle = await provider.create(EnvSpec("env"))
    await provider.start(handle)
    api.environments.inside = machine = provider.machine(handle)
    incarnation = await machine.register("setup", 1)
    await machine.exec(Operation("setup", 1, "setup"), Command(("sh", "-c", SETUP)), incarnation=incarnation)
    environment = (await api.environments.create(NewEnvironment(CLASSES[0].id, Scratch()), OWNER)).id
    answer = await api.call("gitpod.v1.EnvironmentService/CreateEnvironmentAccessToken", {"environmentId": environment})
    yield Ops(api, environment, answer["accessToken"])
    await provider.delete(handle)
    subprocess.run(["rm", "-rf", str(root)], check=True)


async def test_a_command_answers_its_streams_and_its_code(ops: Ops) -> None:
    result = await ops.sh("echo out; echo err >&2; exit 3")
    assert result == {"exitCode": 3, "stdout": "out\n", "stderr": "err\n"}
    assert (await ops.sh("pwd; cat kept.txt"))["stdout"].endswith("one\ntwo\nthree\n")
    assert (await ops.sh("kill -9 $$"))["exitCode"] == 137
    late = await ops.sh("echo begun; sleep 60", timeoutSeconds=1)
    assert (late["exitCode"], late["stdout"]) == (124, "begun\n")
    assert "1 seconds" in late["stderr"]


async def test_an_operation_runs_once(ops: Ops) -> None:
    for _ in range(2):
        assert (await ops.sh("echo x >> count; wc -l < count", operationId="op-1"))["stdout"].strip() == "1"
    refused = await ops.refused("Exec", command="rm -rf /", operationId="op-1")
    assert (refused["status"], refused["code"]) == (409, "already_exists")


async def test_an_operation_that_never_began_does_not_take_its_id(ops: Ops) -> None:
    away = ops.api.environments.rows.kept.pop(ops.environment)
    assert (await ops.refused("Exec", command="echo first", operationId="op"))["code"] == "not_found"
    ops.api.environments.rows.kept[ops.environment] = away
    assert (await ops.sh("echo second", operationId="op"))["stdout"] == "second\n"


async def test_long_output_comes_whole(ops: Ops) -> None:
    result = await ops.sh("seq 1 300000; echo end")
    assert result["stdout"].splitlines()[-2:] == ["300000", "end"]
    assert len(result["stdout"].splitlines()) == 300_001


async def test_a_command_that_cannot_run_is_refused_by_name(ops: Ops) -> None:
    for body, field in (
        ({"command": ""}, "command"),
        ({"command": "true", "timeoutSeconds": -1}, "timeout_seconds"),
        ({"command": "true", "timeoutSeconds": 86401}, "timeout_seconds"),
        ({"command": "true", "workingDirectory": "../.."}, "working_directory"),
        ({"command": "true", "workingDirectory": "/etc"}, "working_directory"),
    ):
        refused = await ops.refused("Exec", **body)
        assert (refused["code"], refused["message"].split(":")[0]) == ("invalid_argument", field)


def coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def test_files_are_written_and_read_back(ops: Ops) -> None:
    data = bytes(range(256)) * 20_000
    assert (await ops.call("WriteFile", path="new/dir/file.bin", content=coded(data)))["bytesWritten"] == str(len(data))
    whole = (await ops.call("ReadFile", path="/workspace/new/dir/file.bin"))["content"]
    assert base64.b64decode(whole["data"]) == data
    assert (whole["totalSize"], whole["contentHash"]) == (str(len(data)), sha256(data).hexdigest())
    part = (await ops.call("ReadFile", path="new/dir/file.bin", offset=5, length=10))["content"]
    assert base64.b64decode(part["data"]) == data[5:15]
    assert part["contentHash"] == sha256(data[5:15]).hexdigest()
    behind = (await ops.call("ReadFile", path="new/dir/file.bin", offset=len(data) + 1))["content"]
    assert "data" not in behind


async def test_a_folder_is_listed(ops: Ops) -> None:
    await ops.sh("mkdir sub && echo 12345 > sub/file")
    listed = (await ops.call("ReadFile", path="."))["directory"]["entries"]
    names = {one["path"].rsplit("/", 1)[-1]: one for one in listed}
    assert names["sub"]["isDirectory"]
    assert names["kept.txt"]["size"] == "14"


async def test_the_modes_of_writing(ops: Ops) -> None:
    await ops.call("WriteFile", path="a", content=coded(b"1"), mode="WRITE_MODE_CREATE")
    refused = await ops.refused("WriteFile", path="a", content=coded(b"2"), mode="WRITE_MODE_CREATE")
    assert refused["code"] == "already_exists"
    await ops.call("WriteFile", path="a", content=coded(b"2"), mode="WRITE_MODE_APPEND")
    await ops.call("WriteFile", path="a", content=coded(b"3"), mode="WRITE_MODE_APPEND")
    assert (await ops.sh("cat a"))["stdout"] == "123"
    await ops.call("WriteFile", path="a", content=coded(b"4"), mode="WRITE_MODE_TRUNCATE")
    assert (await ops.sh("cat a"))["stdout"] == "4"
    assert (await ops.refused("WriteFile", path="no", content="", mode="WRITE_MODE_TRUNCATE"))["code"] == "not_found"


async def test_paths_lead_nowhere_else(ops: Ops) -> None:
    for path in ("", "../x", "/etc/passwd", "/workspace/../etc/passwd", "a\0b", "~/../../x"):
        for method in ("ReadFile", "WriteFile", "GetGitDiff"):
            refused = await ops.refused(method, path=path)
            assert (refused["code"], refused["message"].split(":")[0]) == ("invalid_argument", "path")


async def test_a_missing_file_is_not_found(ops: Ops) -> None:
    assert (await ops.refused("ReadFile", path="no/such"))["code"] == "not_found"


async def test_git_says_what_changed(ops: Ops) -> None:
    await ops.sh("rm gone.txt; echo four >> kept.txt; echo x > fresh; git mv 'with blank.txt' moved.txt")
    status = (await ops.call("GetGitStatus"))["status"]
    changes = {one["path"]: one["changeType"].removeprefix("CHANGE_TYPE_") for one in status["changedFiles"]}
    assert changes == {"gone.txt": "DELETED", "kept.txt": "MODIFIED", "fresh": "UNTRACKED", "moved.txt": "RENAMED"}
    assert status["branch"] == "main"
    assert len(status["latestCommit"]) == 40
    assert status["totalChangedFiles"] == 4


async def test_at_most_101_changes_are_listed_and_the_total_is_true(ops: Ops) -> None:
    await ops.sh("for n in $(seq 150); do echo > f$n; done")
    status = (await ops.call("GetGitStatus"))["status"]
    assert (len(status["changedFiles"]), status["totalChangedFiles"]) == (101, 150)


async def test_a_files_diff_is_against_head_or_the_merge_base(ops: Ops) -> None:
    await ops.sh("git checkout -qb work && echo four >> kept.txt && git commit -qam second && echo five >> kept.txt")
    against_head = await ops.call("GetGitDiff", path="kept.txt")
    assert [hunk["body"] for hunk in against_head["hunks"]] == [" two\n three\n four\n+five\n"]
    since_main = await ops.call("GetGitDiff", path="kept.txt", baseRef="main", unified=1)
    assert since_main["hunks"][0]["body"] == " three\n+four\n+five\n"
    assert since_main["fileChange"] == {"path": "kept.txt", "changeType": "CHANGE_TYPE_MODIFIED"}
    assert since_main["hunks"][0]["newStartLine"] == 3
    assert (await ops.refused("GetGitDiff", path="kept.txt", baseRef="nothing"))["code"] == "not_found"
    assert (await ops.refused("GetGitDiff", path="kept.txt", baseRef="--output=x"))["code"] == "invalid_argument"


async def test_diffs_of_new_deleted_binary_and_unchanged_files(ops: Ops) -> None:
    await ops.sh("printf 'a\\nb' > fresh; rm gone.txt; printf '\\0\\1\\2' > binary; git add binary")
    fresh = await ops.call("GetGitDiff", path="fresh")
    assert fresh["fileChange"]["changeType"] == "CHANGE_TYPE_ADDED"
    assert fresh["hunks"][0]["body"].startswith("+a\n+b\n")
    gone = await ops.call("GetGitDiff", path="gone.txt")
    assert gone["fileChange"]["changeType"] == "CHANGE_TYPE_DELETED"
    assert (await ops.call("GetGitDiff", path="binary"))["isBinary"]
    assert "hunks" not in await ops.call("GetGitDiff", path="kept.txt")
    assert (await ops.refused("GetGitDiff", path="no-such"))["code"] == "not_found"


async def test_secrets_do_not_come_out(ops: Ops) -> None:
    half = len(SECRET) // 2
    said = await ops.sh(f"printf '%s%s' {SECRET[:half]} {SECRET[half:]} | tee leak; cat leak >&2")
    assert (said["stdout"], said["stderr"]) == ("[redacted]", "[redacted]")
    read = (await ops.call("ReadFile", path="leak"))["content"]
    assert base64.b64decode(read["data"]) == b"[redacted]"


async def test_the_token_is_for_one_environment_and_the_owners_works_too(ops: Ops) -> None:
    elsewhere = Ops(ops.api, OTHER, ops.token)
    assert (await elsewhere.refused("Exec", command="true"))["code"] == "not_found"
    by_owner = Ops(ops.api, ops.environment, "owner-token")
    assert await by_owner.sh("true") == {}
    for token in ("read-token", "unknown"):
        refused = await Ops(ops.api, ops.environment, token).refused("Exec", command="true")
        assert refused["code"] == ("permission_denied" if token == "read-token" else "unauthenticated")
