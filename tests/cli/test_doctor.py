"""hostler doctor: what is wrong is named with what mends it, and ends with 1."""

import json
import os
import socket
import sqlite3
import time
from pathlib import Path

import pytest

from hostler.cli import checkups
from hostler.cli.diagnosis import Finding
from hostler.config import Settings
from hostler.testing.answers import Answer, Called, Failure, Reply
from hostler.testing.endpoints import Endpoint
from tests.cli.conftest import Cli
from tests.cli.scripted import Refused, Scripted


@pytest.fixture(autouse=True)
def plain(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No sandbox, no proxy, no key of the person who runs the tests."""
    for name in (*checkups.PROXIES, "SSL_CERT_FILE", "ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOSTLER_SANDBOX", "none")


def found(cli: Cli, *words: str) -> tuple[int, dict[str, Finding]]:
    ended = cli("doctor", "--json", *words)
    return ended.code, {entry["check"]: Finding(**entry) for entry in json.loads(ended.out)}


def test_a_sound_machine_can_work(cli: Cli) -> None:
    code, findings = found(cli)
    assert code == 0
    assert {"settings", "sandbox", "git", "database", "clock", "disk", "certificates", "model", "server"} <= set(
        findings
    )
    assert findings["sandbox"].state == "weak"
    assert "agents can work" in cli("doctor").out


def test_settings_that_cannot_be_used(cli: Cli, data_dir: Path) -> None:
    (data_dir / "hostler.toml").write_text("prot = 1\n")
    code, findings = found(cli)
    assert code == 1
    assert "prot" in findings["settings"].said
    assert str(data_dir) in findings["settings"].fix


def test_a_missing_key_names_its_variable(cli: Cli) -> None:
    code, findings = found(cli, "--model", "anthropic:claude-sonnet-4-5")
    assert code == 1
    assert "ANTHROPIC_API_KEY" in findings["model"].said


def test_a_model_that_cannot_be_reached_is_told_from_a_missing_key(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    code, findings = found(cli, "--model", "openai-chat:llama3")
    assert code == 1
    assert findings["model key"].state == "ok"
    assert findings["model answers"].state == "wrong"
    assert "OPENAI_BASE_URL" in findings["model answers"].fix or "base URL" in findings["model answers"].fix
    assert "model answers" not in found(cli, "--model", "openai-chat:llama3", "--no-call")[1]


def test_a_proxy_that_does_not_answer_is_named_without_its_password(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:hunter2@127.0.0.1:9")
    code, findings = found(cli)
    assert code == 1
    assert findings["HTTPS_PROXY"].state == "wrong"
    assert "hunter2" not in cli("doctor").out


def test_a_proxy_that_answers(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        assert found(cli)[1]["HTTPS_PROXY"].state == "ok"


def test_certificates_that_cannot_be_read(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("not a certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    code, findings = found(cli)
    assert code == 1
    assert str(bundle) in findings["certificates"].said


def test_a_database_that_is_none_and_one_that_is(cli: Cli, data_dir: Path) -> None:
    database = data_dir / "hostler.db"
    database.write_bytes(b"no database" * 100)
    assert found(cli)[1]["database"].state == "wrong"
    database.unlink()
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE event (id)")
    connection.close()
    assert found(cli)[1]["database"].state == "ok"


def test_a_clock_behind_what_was_written(cli: Cli, data_dir: Path) -> None:
    sqlite3.connect(data_dir / "hostler.db").close()
    later = time.time() + 7200
    (data_dir / "hostler.db").touch()
    os.utime(data_dir / "hostler.db", (later, later))
    code, findings = found(cli)
    assert code == 1
    assert findings["clock"].state == "wrong"


def test_a_sandbox_shows_which_protections_hold() -> None:
    findings = checkups.sandbox(Settings(sandbox="bubblewrap"))
    assert findings
    assert all(finding.fix for finding in findings if finding.state == "wrong")


def test_the_running_server_is_asked(cli: Cli, server: Scripted) -> None:
    server.answers["ListAgents"] = {"agents": []}
    code, findings = found(cli)
    assert code == 0
    assert server.url in findings["server"].said
    server.answers["/readyz"] = Refused(503, "unavailable", "no sandbox")
    code, findings = found(cli)
    assert code == 1
    assert "no sandbox" in findings["server takes work"].said


def test_a_wrong_token_is_found(cli: Cli, server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTLER_TOKEN", "wrong")
    code, findings = found(cli)
    assert code == 1
    assert findings["token"].state == "wrong"


CALLED = Reply(calls=(Called(checkups.TOOL.name, '{"word": "ready"}'),))


@pytest.mark.parametrize(
    ("answer", "states"),
    [
        (CALLED, {"model answers": "ok", "model calls tools": "ok"}),
        (Reply("ready"), {"model answers": "ok", "model calls tools": "wrong"}),
        (Failure(401, "invalid key"), {"model answers": "wrong"}),
        (Failure(503, "overloaded"), {"model answers": "wrong"}),
    ],
    ids=["calls the tool", "does not call it", "refuses the key", "is overloaded"],
)
async def test_one_small_call_shows_what_a_model_can_do(answer: Answer, states: dict[str, str]) -> None:
    async with Endpoint([answer]) as endpoint:
        settings = Settings(model="openai-chat:llama3")
        findings = {one.check: one for one in await checkups.models(settings, endpoint.environ(), call=True)}
    assert {name: findings[name].state for name in findings if name in ("model answers", "model calls tools")} == states
    assert all(finding.fix for finding in findings.values() if finding.state == "wrong")


async def test_the_context_window_comes_from_the_settings() -> None:
    models = {"openai-chat:llama3": {"context_window": 32768, "base_url": "http://127.0.0.1:9/v1"}}
    settings = Settings.model_validate({"model": "openai-chat:llama3", "models": models})
    findings = {one.check: one for one in await checkups.models(settings, {}, call=False)}
    assert findings["model context"] == Finding("model context", "ok", "32,768 tokens")
