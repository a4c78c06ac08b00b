"""EnvironmentOpsService over a real supervisor, without a sandbox around it."""

import asyncio
import base64
import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

from hostler.api.server import build
from tests.api.conftest import SECRET, Listening
from tests.api.ops_kit import Ops, coded, ops

__all__ = ["ops"]

OTHER = "0190aaaa-0000-7000-8000-00000000ffff"


async def test_a_command_answers_its_streams_and_its_code(ops: Ops) -> None:
    result = await ops.sh("echo out; echo err >&2; exit 3")
    assert result == {"exitCode": 3, "stdout": "out\n", "stderr": "err\n"}
    assert (await ops.sh("pwd; cat kept.txt"))["stdout"].endswith("one\ntwo\nthree\n")
    assert (await ops.sh("kill -9 $$"))["exitCode"] == 137
    late = await ops.sh("echo begun; sleep 60", timeoutSeconds=1)
    assert (late["exitCode"], late["stdout"]) == (124, "begun\n")
    assert "timeout of 1 s" in late["stderr"]


async def test_an_operation_runs_once(ops: Ops) -> None:
    for _ in range(2):
        assert (await ops.sh("echo x >> count; wc -l < count", operationId="op-1"))["stdout"].strip() == "1"
    refused = await ops.refused("Exec", command="rm -rf /", operationId="op-1")
    assert (refused["status"], refused["code"]) == (409, "already_exists")


async def test_an_operation_is_known_by_the_environment_itself_so_a_restart_of_the_server_changes_nothing(
    ops: Ops,
) -> None:
    await ops.sh("echo x >> count", operationId="op-1")
    other = Listening(build(ops.api.parts))
    restarted = replace(ops.api, url=f"http://127.0.0.1:{await other.start()}")
    again = Ops(restarted, ops.environment, ops.token)
    await again.sh("echo x >> count", operationId="op-1")
    refused = await again.refused("Exec", command="echo y >> count", operationId="op-1")
    assert (refused["code"], refused["message"].split(":")[0]) == ("already_exists", "operation_id")
    refused = await again.refused("Exec", command="echo x >> count", workingDirectory="/tmp", operationId="op-1")
    assert refused["code"] == "already_exists"
    assert (await again.sh("cat count"))["stdout"] == "x\n"
    await other.stop()


async def test_commands_run_in_every_life_of_an_environment_each_once(ops: Ops) -> None:
    assert ops.restart
    for life in range(1, 4):
        for _ in range(2):
            lines = await ops.sh("echo x >> count; wc -l < count", operationId=f"op-{life}")
            assert lines == {"stdout": f"{life}\n"}
        await ops.restart()
    await asyncio.gather(*(ops.sh("echo x >> count") for _ in range(5)))
    assert (await ops.sh("wc -l < count"))["stdout"] == "8\n"


async def test_a_cancelled_command_ends_and_its_id_never_starts(ops: Ops) -> None:
    running = asyncio.create_task(ops.sh("echo begun > begun; sleep 1000", operationId="long"))
    await ops.until(lambda: ops.api.post(ops.path("ReadFile"), {"path": "begun"}, token=ops.token))
    await ops.call("CancelExec", operationId="long")
    assert (await running)["exitCode"] == 130
    await ops.call("CancelExec", operationId="never")
    assert (await ops.sh("touch ran", operationId="never"))["exitCode"] == 130
    assert (await ops.refused("ReadFile", path="ran"))["code"] == "not_found"
    assert (await ops.refused("CancelExec"))["message"].split(":")[0] == "operation_id"


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


async def test_of_two_who_make_a_file_one_does(ops: Ops) -> None:
    async def make(text: bytes) -> int:
        body = {"path": "once", "content": coded(text), "mode": "WRITE_MODE_CREATE"}
        return (await ops.api.post(ops.path("WriteFile"), body, token=ops.token)).status_code

    assert sorted(await asyncio.gather(*(make(b"%d" % n) for n in range(8)))) == [200] + [409] * 7


async def test_a_planted_link_leads_to_no_process_and_is_not_made_anew(ops: Ops) -> None:
    await ops.sh("ln -s /proc/self/environ seen; ln -s /proc/self/mem memory; ln -s nowhere dangling; ln -s loop loop")
    for path in ("seen", "memory"):
        assert (await ops.refused("ReadFile", path=path))["code"] == "permission_denied"
    for mode in ("CREATE", "TRUNCATE", "CREATE_OR_TRUNCATE", "APPEND"):
        refused = await ops.refused("WriteFile", path="memory", content=coded(b"x"), mode=f"WRITE_MODE_{mode}")
        assert refused["code"] == "permission_denied"
    assert (await ops.refused("ReadFile", path="loop"))["code"] == "not_found"
    assert (await ops.refused("ReadFile", path="dangling"))["code"] == "not_found"


async def test_paths_lead_nowhere_else(ops: Ops) -> None:
    for path in ("../x", "/etc/passwd", "/workspace/../etc/passwd", "a\0b", "~/../../x", "x" * 5000):
        for method in ("ReadFile", "WriteFile", "GetGitDiff", "GetFileDiffContent", "Find"):
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
    await ops.sh("git branch -f apart $(git commit-tree -m apart $(git write-tree))")
    apart = await ops.refused("GetGitDiff", path="kept.txt", baseRef="apart")
    assert (apart["code"], "do not meet" in apart["message"]) == ("failed_precondition", True)
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


async def test_files_are_found_by_name_part_glob_and_letters(ops: Ops) -> None:
    await ops.sh(
        "mkdir -p src/deep .git/x; touch src/Widget.py src/deep/gadget.py src/deep/widget_test.py .git/x/widget"
    )

    async def found(**body: Any) -> list[str]:
        return [one["path"] for one in (await ops.call("Find", **body)).get("files", [])]

    assert set(await found(pattern="widget")) == {"src/Widget.py", "src/deep/widget_test.py"}
    assert await found(pattern="*.py", path="/workspace/src/deep") == ["gadget.py", "widget_test.py"]
    assert await found(pattern="src/**/*_test.py") == ["src/deep/widget_test.py"]
    assert await found(pattern="deep", type="FILE_TYPE_DIRECTORY") == ["src/deep"]
    assert await found(pattern="*.py", maxDepth=2) == ["src/Widget.py"]
    assert (await found(pattern="gadgt", fuzzy=True))[0] == "src/deep/gadget.py"
    await ops.sh("mkdir many && cd many && touch $(seq 1100)")
    many = await ops.call("Find", path="many")
    assert (len(many["files"]), many["truncated"]) == (1000, True)
    assert (await ops.refused("Find", path="no/such"))["code"] == "not_found"
    for body, field in (({"maxDepth": -1}, "max_depth"), ({"pattern": "x" * 1001}, "pattern"), ({"type": 9}, "type")):
        refused = await ops.refused("Find", **body)
        assert (refused["code"], refused["message"].split(":")[0]) == ("invalid_argument", field)


async def test_finding_follows_no_link(ops: Ops) -> None:
    await ops.sh("mkdir d; ln -s / d/root; ln -s .. d/up; touch d/file")
    listed = await ops.call("Find", path="d")
    assert sorted(one["path"] for one in listed["files"]) == ["file", "root", "up"]


async def test_files_that_differ_are_listed_against_head_and_merge_base(ops: Ops) -> None:
    await ops.sh("seq 100 > numbers; git add .; git commit -qm numbers; git checkout -qb work")
    await ops.sh("git mv numbers moved.txt; git commit -qam second")
    await ops.sh("rm gone.txt; echo four >> kept.txt; echo new > 'a\nb'; echo five > fresh")

    async def differ(base: str = "") -> dict[str, str]:
        answer = await ops.call("GetGitDiffFiles", baseRef=base)
        assert answer["totalChangedFiles"] == len(answer["changedFiles"])
        return {one["path"]: one["changeType"].removeprefix("CHANGE_TYPE_") for one in answer["changedFiles"]}

    now = {"gone.txt": "DELETED", "kept.txt": "MODIFIED", "fresh": "UNTRACKED"}
    assert now.items() <= (await differ()).items()
    assert await differ("main") == {**await differ(), "moved.txt": "RENAMED"}
    assert (await ops.refused("GetGitDiffFiles", baseRef="nothing"))["code"] == "not_found"
    assert (await ops.refused("GetGitDiffFiles", baseRef="--output=x"))["code"] == "invalid_argument"


async def test_both_sides_of_a_file_are_read(ops: Ops) -> None:
    await ops.sh("echo four >> kept.txt; rm gone.txt; echo new > fresh; git mv 'with blank.txt' moved.txt")
    await ops.sh("printf '\\0\\1' > binary")

    async def sides(path: str, **more: Any) -> tuple[bytes, bytes]:
        answer = await ops.call("GetFileDiffContent", path=path, **more)
        return base64.b64decode(answer.get("originalContent", "")), base64.b64decode(answer.get("newContent", ""))

    old = b"one\ntwo\nthree\n"
    assert await sides("kept.txt") == (old, old + b"four\n")
    assert await sides("gone.txt") == (old, b"")
    assert await sides("fresh") == (b"", b"new\n")
    assert await sides("moved.txt") == (old, old)
    assert await sides("binary") == (b"", b"")
    assert await sides("binary", includeBinaryContent=True) == (b"", b"\0\1")
    assert (await ops.call("GetFileDiffContent", path="binary"))["isBinary"]
    assert (await ops.refused("GetFileDiffContent", path="no-such"))["code"] == "not_found"


async def test_the_default_branch_is_the_remotes(ops: Ops) -> None:
    assert (await ops.call("GetDefaultBranch"))["branch"] == "main"
    await ops.sh("git checkout -qb topic && git update-ref refs/remotes/origin/dev HEAD")
    await ops.sh("git symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/dev")
    assert (await ops.call("GetDefaultBranch"))["branch"] == "dev"
    await ops.sh("rm -rf .git")
    for method in ("GetDefaultBranch", "GetGitDiffFiles", "GetGitStatus"):
        assert (await ops.refused(method))["code"] == "not_found"


async def test_changes_are_streamed_and_what_is_excluded_is_not(ops: Ops) -> None:
    seen: dict[str, str] = {}
    git = False
    change = "mkdir -p new; echo x > new/inner.txt; touch a.tmp; touch gone.txt; rm gone.txt"
    async with asyncio.timeout(20), ops.stream("Watch", fileExcludePatterns=["*.tmp"]) as lines:
        count = 0
        line = asyncio.ensure_future(anext(lines))
        while not ({"kept.txt", "new/inner.txt", "gone.txt"} <= seen.keys() and git):
            count += 1
            await ops.sh(f"echo {count} >> kept.txt; {change}")
            while (await asyncio.wait({line}, timeout=0.2))[0]:
                event = json.loads(line.result())
                line = asyncio.ensure_future(anext(lines))
                git = git or "gitStatusChanged" in event
                for one in event.get("fileChanges", {}).get("events", []):
                    seen[one["path"]] = one["type"].removeprefix("FILE_CHANGE_TYPE_")
        line.cancel()
    assert (seen["kept.txt"], seen["gone.txt"]) == ("UPDATED", "DELETED")
    assert not any(path.endswith(".tmp") or path.startswith(".git") for path in seen)


async def test_what_is_not_there_is_said(ops: Ops) -> None:
    assert (await ops.call("ListCapabilities"))["capabilities"] == ["CAPABILITY_WATCH"]
    assert (await ops.refused("StartBrowser"))["code"] == "unimplemented"


async def test_secrets_do_not_come_out(ops: Ops) -> None:
    half = len(SECRET) // 2
    said = await ops.sh(f"printf '%s%s' {SECRET[:half]} {SECRET[half:]} | tee leak; cat leak >&2")
    assert (said["stdout"], said["stderr"]) == ("[redacted]", "[redacted]")
    read = (await ops.call("ReadFile", path="leak"))["content"]
    assert base64.b64decode(read["data"]) == b"[redacted]"
    await ops.sh(f"mkdir d; touch d/{SECRET[:half]}{SECRET[half:]}")
    assert [one["path"] for one in (await ops.call("Find", path="d"))["files"]] == ["[redacted]"]
    assert (await ops.call("ReadFile", path="d"))["directory"]["entries"][0]["path"] == "[redacted]"


async def test_no_name_that_git_or_a_terminal_tells_holds_a_secret(ops: Ops) -> None:
    half = len(SECRET) // 2
    await ops.sh(
        f"s=$(printf '%s%s' {SECRET[:half]} {SECRET[half:]}); git checkout -q -b $s; git remote add origin https://u:$s@h/x;"
        " git commit -q --allow-empty -m $s; touch $s; printf '%s\n' 1 $s 3 4 5 6 7 8 9 > code && git add code &&"
        " git commit -q -m code && printf '%s\n' 1 $s 3 4 5 6 7 8 8 > code"
    )
    shown = [
        await ops.call("GetGitStatus"),
        await ops.call("GetGitDiffFiles"),
        await ops.call("GetGitDiff", path="code"),
        await ops.call("GetFileDiffContent", path="code"),
        await ops.call("GetDefaultBranch"),
    ]
    opened = await ops.call("CreateTerminal", annotations={"note": SECRET})
    shown.append(await ops.call("ListTerminals"))
    await ops.call("CloseTerminal", terminalId=opened["terminalId"])
    assert [one for one in shown if SECRET in json.dumps(one)] == []
    status = shown[0]["status"]
    assert (status["branch"], status["cloneUrl"]) == ("[redacted]", "https://u:[redacted]@h/x")
    assert "[redacted]" in status["unpushedCommits"][1]
    assert "[redacted]" in [one["path"] for one in shown[1]["changedFiles"]]


async def test_the_token_is_for_one_environment_and_the_owners_works_too(ops: Ops) -> None:
    elsewhere = Ops(ops.api, OTHER, ops.token)
    assert (await elsewhere.refused("Exec", command="true"))["code"] == "not_found"
    by_owner = Ops(ops.api, ops.environment, "owner-token")
    assert await by_owner.sh("true") == {}
    for token in ("read-token", "unknown"):
        refused = await Ops(ops.api, ops.environment, token).refused("Exec", command="true")
        assert refused["code"] == ("permission_denied" if token == "read-token" else "unauthenticated")
