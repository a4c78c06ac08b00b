"""Pull requests through the real server, sandbox, git and a code host that speaks GitHub's and GitLab's APIs."""

import json
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from hostler.testing.forge import ForgeBook
from hostler.testing.forge_server import USER, forge_server
from tests.environments.git_hub import certificate
from tests.environments.git_server import git
from tests.server import HostlerProcess
from tests.whole.canary import forms

pytestmark = pytest.mark.sandbox

R, C = "RunnerService", "RunnerConfigurationService"
SECRET = "pat-4f1e9b7a-stays-outside"
REPOSITORY = "shop/till"
WRITE = {"name": "write", "arguments": {"path": "coins.txt", "content": "one\ntwo\n"}}
OPEN = {"name": "open_pull_request", "arguments": {"title": "Count the coins", "body": "Nobody did."}}
Step = dict[str, Any]
WRITE_AND_OPEN = ({"calls": [WRITE]}, {"calls": [OPEN]})


@dataclass
class Shop:
    """A server, a code host with one repository, and what the host knows."""

    server: HostlerProcess
    book: ForgeBook
    bare: Path
    pushes: list[str]

    @property
    def url(self) -> str:
        return f"https://{self.book.host}/{REPOSITORY}.git"

    def keep(self, token: str = SECRET) -> str:
        runner = self.server.call("ListRunners", service=R)["runners"][0]["runnerId"]
        body = {"runnerId": runner, "host": self.book.host, "token": token}
        return self.server.call("CreateHostAuthenticationToken", body, C)["token"]["id"]

    def kinds(self, execution: str) -> list[str]:
        return [kind for kind, _ in self.server.log(execution)]

    def branches(self) -> list[str]:
        return git(self.bare, "branch", "--format=%(refname:short)").split()

    def leaks(self) -> list[tuple[str, str]]:
        """Return files of the server that hold the secret in any form, the environment's own files included."""
        known = [(name, mark) for name, mark in forms(SECRET) if "half" not in name]
        found: list[tuple[str, str]] = []
        for file in self.server.folder.rglob("*"):
            with suppress(FileNotFoundError):  # What runs there comes and goes.
                if file.is_file() and not file.is_symlink():
                    data = file.read_bytes()
                    found.extend((str(file), name) for name, mark in known if mark in data)
        return found


@contextmanager
def shop(
    place: Path, steps: Sequence[Step], kind: Literal["github", "gitlab"] = "github", *, private: bool = False
) -> Generator[Shop]:
    cert, key = certificate(place)
    first, bare = place / "first", place / "served" / f"{REPOSITORY}.git"
    first.mkdir()
    bare.parent.mkdir(parents=True)
    git(first, "init", "-q")
    (first / "one.txt").write_text("one\n")
    git(first, "add", ".")
    git(first, "commit", "-qm", "one")
    git(place, "clone", "-q", "--bare", str(first), str(bare))
    (place / "data").mkdir(mode=0o711)
    later = {"steps": [{"calls": [OPEN]}, {"text": "Opened."}], "match": "There is a credential"}
    (place / "script.json").write_text(json.dumps({"rules": [later, {"steps": [*steps, {"text": "Done."}]}]}))

    def commit_of(repository: str, branch: str) -> str:
        known = git(bare, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        return known if repository == REPOSITORY else ""

    book = ForgeBook(kind, "", SECRET, commit_of)
    with forge_server(place / "served", book, cert, key, private=private) as pushes:
        env = {
            "SSL_CERT_FILE": str(cert),
            "HOSTLER_PRIVATE_HOSTS": book.host,
            "HOSTLER_MODEL": f"scripted:{place}/script.json",
        }
        server = HostlerProcess(place / "data", env=env).start()
        yield Shop(server, book, bare, pushes)
        server.close()


@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_an_agent_opens_a_pull_request_and_the_token_stays_outside(
    place: Path, kind: Literal["github", "gitlab"]
) -> None:
    look = {
        "name": "bash",
        "arguments": {"command": "git status --short; git log -1 --format=%an; cat /proc/*/environ"},
    }
    again = {"name": "open_pull_request", "arguments": {"title": "Again"}}
    edit = {"name": "write", "arguments": {"path": "coins.txt", "content": "three\n"}}
    with shop(
        place, [*WRITE_AND_OPEN, {"calls": [look]}, {"calls": [edit]}, {"calls": [again]}], kind, private=True
    ) as it:
        it.keep()
        execution = it.server.start_agent("open it", it.url)
        last = it.server.rest(execution)
        assert last["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
        assert it.book.pulls, [body["text"] for kind_, body in it.server.log(execution) if kind_ == "ToolFinished"]
        [pull] = it.book.pulls
        assert (pull.title, pull.base) == ("Count the coins", "main")
        assert pull.body.startswith("Nobody did.")
        assert git(it.bare, "show", f"{pull.head}:coins.txt") == "three"
        log = it.server.log(execution)
        opened = [body for kind_, body in log if kind_ == "PullRequestOpened"]
        assert [one["existed"] for one in opened] == [False, True]
        assert [body["branch"] for kind_, body in log if kind_ == "BranchPushed"] == [pull.head] * 2
        assert it.leaks() == []


def test_a_server_that_is_killed_while_the_host_opens_the_pull_request_finds_it_again(place: Path) -> None:
    with shop(place, WRITE_AND_OPEN) as it:
        it.keep()
        reached, go, real = threading.Event(), threading.Event(), it.book.commit_of

        def held(repository: str, branch: str) -> str:
            reached.set()
            assert go.wait(120)
            return real(repository, branch)

        it.book.commit_of = held
        execution = it.server.start_agent("open it", it.url)
        assert reached.wait(120)
        it.server.kill()
        go.set()
        it.server.until(lambda: it.book.pulls)
        it.server.start()
        it.server.rest(execution)
        assert len(it.book.pulls) == len(it.pushes) == 1
        log = it.server.log(execution)
        assert [body["existed"] for kind, body in log if kind == "PullRequestOpened"] == [False]
        assert [body["outcome"] for kind, body in log if kind == "ToolFinished"] == ["ok", "ok"]


def test_a_push_outlives_the_server_that_began_it(place: Path) -> None:
    with shop(place, WRITE_AND_OPEN) as it:
        it.keep()
        here, go = place / "here", place / "go"
        hook = it.bare / "hooks" / "pre-receive"
        hook.write_text(f"#!/bin/sh\ntouch {here}\nwhile [ ! -e {go} ]; do sleep 0.05; done\n")
        hook.chmod(0o755)
        execution = it.server.start_agent("open it", it.url)
        it.server.until(here.exists)
        it.server.kill()
        go.touch()
        it.server.start()
        it.server.rest(execution)
        finished = [body for kind, body in it.server.log(execution) if kind == "ToolFinished"]
        if finished[-1]["outcome"] != "ok":  # The proxy died with the server, and git was told so.
            assert "could not be pushed" in finished[-1]["text"]
            it.server.send(execution, "There is a credential")
            it.server.rest(execution)
        assert len(it.book.pulls) == 1


def test_a_turn_goes_on_by_itself_when_the_credential_is_there(place: Path) -> None:
    with shop(place, WRITE_AND_OPEN) as it:
        execution = it.server.start_agent("open it", it.url)
        last = it.server.rest(execution)
        assert it.book.host in last["status"]["warningMessage"]
        assert "HostAuthenticationRequired" in it.kinds(execution)
        it.server.restart()
        it.keep("wrong:password-1")
        it.server.until(lambda: it.kinds(execution).count("HostAuthenticationRequired") == 2)
        it.server.until(lambda: it.server.get(execution)["status"]["phase"] == "PHASE_WAITING_FOR_INPUT")
        runner = it.server.call("ListRunners", service=R)["runners"][0]["runnerId"]
        mine = it.server.call("ListHostAuthenticationTokens", {"filter": {"runnerId": runner}}, C)["tokens"]
        it.server.call("UpdateHostAuthenticationToken", {"id": mine[0]["id"], "token": f"{USER}:{SECRET}"}, C)
        it.server.until(lambda: it.book.pulls)
        last = it.server.rest(execution)
        assert "PullRequestOpened" in it.kinds(execution)
        assert "warningMessage" not in last["status"]
        assert it.leaks() == []


def test_a_clone_waits_for_a_credential_over_restarts(place: Path) -> None:
    with shop(place, [{"text": "Hello."}], private=True) as it:
        execution = it.server.start_agent("look around", it.url)
        it.server.until(lambda: "HostAuthenticationRequired" in it.kinds(execution))
        shown = it.server.get(execution)["status"]
        assert shown["phase"] == "PHASE_PENDING"
        assert shown["currentActivity"] == f"waiting for a credential for {it.book.host}"
        it.server.restart()
        it.keep()
        last = it.server.until(lambda: it.server.get(execution)["status"]["phase"] != "PHASE_PENDING") and (
            it.server.rest(execution)
        )
        assert last["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
        assert "EnvironmentFailed" not in it.kinds(execution)


@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_a_pull_request_is_checked_out_at_its_branch_and_pushed_to(
    place: Path, kind: Literal["github", "gitlab"]
) -> None:
    work = "git status -sb | head -1; git commit -q --allow-empty -m more && git push -q 2>&1"
    bash = {"name": "bash", "arguments": {"command": work}}
    with shop(place, [{"calls": [bash]}], kind) as it:
        it.keep()
        git(it.bare, "branch", "coins", "main")
        ref, page = ("pull/1/head", "pull/1") if kind == "github" else ("merge-requests/1/head", "-/merge_requests/1")
        git(it.bare, "update-ref", f"refs/{ref}", "coins")
        it.book.add(REPOSITORY, "Count the coins", "coins")
        execution = it.server.start_agent("go on", f"https://{it.book.host}/{REPOSITORY}/{page}")
        it.server.rest(execution)
        said = [body for kind_, body in it.server.log(execution) if kind_ == "ToolFinished"]
        assert said[0]["outcome"] == "ok", said
        assert said[0]["text"].startswith("## coins")
        assert git(it.bare, "log", "-1", "--format=%s", "coins") == "more"
        given = [body for kind_, body in it.server.log(execution) if kind_ == "PullRequestGiven"]
        assert [(one["title"], one["head"], one["base"], one["checked_out"]) for one in given] == [
            ("Count the coins", "coins", "main", True)
        ]


def test_a_project_goes_to_the_branch_of_a_pull_request(place: Path) -> None:
    bash = {"name": "bash", "arguments": {"command": "git status -sb | head -1; git log -1 --format=%s"}}
    with shop(place, [{"calls": [bash]}]) as it:
        it.keep()
        git(place / "first", "checkout", "-q", "-b", "coins")
        git(place / "first", "commit", "-q", "--allow-empty", "-m", "counted")
        git(place / "first", "push", "-q", str(it.bare), "coins:refs/pull/1/head")
        it.book.add(REPOSITORY, "Count the coins", "coins", fork="bob/till")
        source = {"specs": [{"contextUrl": {"url": it.url}}]}
        made = it.server.call("CreateProject", {"name": "till", "initializer": source}, "ProjectService")["project"]
        pull = {"url": f"https://{it.book.host}/{REPOSITORY}/pull/1"}
        context = {"projectId": made["id"], "pullRequest": pull}
        execution = it.server.start_agent("look", codeContext=context)
        it.server.rest(execution)
        [said] = [body["text"] for kind_, body in it.server.log(execution) if kind_ == "ToolFinished"]
        assert said.splitlines() == ["## coins...fork/coins", "counted"]


def test_an_environment_that_an_agent_made_is_its_creators(place: Path) -> None:
    make = [{"name": "create_environment", "arguments": {"repository": "", "name": "second"}}]
    bad = [
        {"name": "create_environment", "arguments": {"repository": "file:///etc"}},
        {"name": "create_environment", "arguments": {"repository": "https://elsewhere.example/a/b"}},
        {"name": "create_environment", "arguments": {"environment_class": "Huge"}},
    ]
    with shop(place, [{"calls": [*make, *bad]}]) as it:
        execution = it.server.start_agent("make one", it.url)
        last = it.server.rest(execution)
        used = last["status"]["usedEnvironments"]
        assert [one.get("createdByAgent", False) for one in used] == [False, True]
        finished = [body for kind, body in it.server.log(execution) if kind == "ToolFinished"]
        assert sorted(body["outcome"] for body in finished) == ["failed", "failed", "failed", "ok"]
        named = {"environmentId": used[1]["environmentId"]}

        def runs() -> bool:
            found = it.server.call("GetEnvironment", named, "EnvironmentService")["environment"]
            assert found["metadata"]["name"] == "second"
            return found["status"]["phase"] == "ENVIRONMENT_PHASE_RUNNING"

        assert it.server.until(runs)
        it.server.call("DeleteAgentExecution", {"agentExecutionId": execution})
        assert runs()


def hostler(it: Shop, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line on the shop's server."""
    command = [sys.executable, "-m", "hostler", *words, "--data-dir", str(it.server.folder)]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=240, check=False)


def test_the_command_line_ends_with_3_while_a_credential_is_missing_and_goes_on_when_it_is_set(place: Path) -> None:
    with shop(place, [*WRITE_AND_OPEN], private=True) as it:
        run = hostler(it, "run", "open it", "--repo", it.url)
        assert run.returncode == 3, run.stdout + run.stderr
        assert f"hostler secret set {it.book.host}" in run.stdout
        execution = run.stdout.splitlines()[0]
        listed = hostler(it, "ps", "--json")
        assert f"a credential for {it.book.host}" in listed.stdout
        assert hostler(it, "secret", "set", it.book.host, given=SECRET).returncode == 0
        it.server.until(lambda: it.book.pulls)
        it.server.rest(execution)
        watch = hostler(it, "watch", execution, "--since", "start")
        assert watch.returncode == 0, watch.stdout + watch.stderr
        assert it.book.pulls[0].title in watch.stdout
