"""Codex and a code host: it is told of its pull request, and a push without a credential goes on when there is one."""

from pathlib import Path

import pytest

from hostler.testing.answers import Reply
from hostler.testing.forge import ForgeBook
from hostler.testing.forge_server import forge_server
from tests.agents.codex.provider import in_order, provider
from tests.agents.codex.record import runs
from tests.agents.codex.standing import CODEX, MODEL, Run
from tests.environments.git_hub import certificate
from tests.environments.git_server import git
from tests.server import HostlerProcess

pytestmark = [pytest.mark.crash, pytest.mark.sandbox]

SECRET = "pat-77aa88bb99cc"
C = "RunnerConfigurationService"
PROXY = "export NO_PROXY= no_proxy=; "
"""The code host is this machine, which is reached through the proxy all the same."""
PUSH = f"{PROXY}git commit -q --allow-empty -m more; git push -q origin HEAD:coins"


def test_codex_is_told_of_its_pull_request_and_pushes_when_a_credential_is_set(place: Path) -> None:
    cert, key = certificate(place)
    first, bare = place / "first", place / "served" / "shop" / "till.git"
    first.mkdir()
    bare.parent.mkdir(parents=True)
    git(first, "init", "-q")
    git(first, "commit", "-q", "--allow-empty", "-m", "one")
    git(place, "clone", "-q", "--bare", str(first), str(bare))
    git(bare, "branch", "coins", "main")
    git(bare, "update-ref", "refs/pull/1/head", "coins")
    (place / "data").mkdir(mode=0o711)
    book = ForgeBook("github", "", SECRET)
    book.add("shop/till", "Count the coins", "coins")
    answers = in_order(
        Reply("", calls=(runs("c1", PUSH),)),
        Reply("I wait."),
        Reply("", calls=(runs("c2", f"{PROXY}git push -q origin HEAD:coins"),)),
        Reply("Pushed."),
    )
    with forge_server(place / "served", book, cert, key), provider(answers) as model:
        env = {"SSL_CERT_FILE": str(cert), "HOSTLER_PRIVATE_HOSTS": book.host, "HOSTLER_MODEL": MODEL}
        server = HostlerProcess(place / "data", {**model.endpoint.environ(), **env}).start()
        try:
            run = Run(server, model)
            run.id = server.start_agent("Push it.", f"https://{book.host}/shop/till/pull/1", agentId=CODEX)
            run.until_logged("HostAuthenticationRequired")
            assert f"URL: https://{book.host}/shop/till/pull/1" in model.heard()
            run.until(lambda: run.status["phase"] == "PHASE_WAITING_FOR_INPUT")
            server.restart()
            runner = server.call("ListRunners", service="RunnerService")["runners"][0]["runnerId"]
            token = {"runnerId": runner, "host": book.host, "token": SECRET}
            server.call("CreateHostAuthenticationToken", token, C)
            run.until(lambda: "Pushed." in run.texts())
            run.rest()
            assert git(bare, "log", "-1", "--format=%s", "coins") == "more"
            assert [body["host"] for body in run.log("HostAuthenticated")] == [book.host]
        finally:
            server.close()
