"""A server as its operator has it: webhooks over a kill, lines of the log, reload by signal, maintenance, the trail."""

import base64
import hmac
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server import HostlerProcess, Refused
from tests.whole.receiving import Posted, Receiver, receiving

pytestmark = pytest.mark.sandbox


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def server(place: Path, receiver: Receiver) -> Iterator[HostlerProcess]:
    folder = place / "data"
    folder.mkdir(mode=0o711)
    (folder / "hostler.toml").write_text(f'private_hosts = ["127.0.0.1:{receiver.port}"]\n')
    server = HostlerProcess(folder).start()
    yield server
    server.close()


def hostler(server: HostlerProcess, *words: str) -> Any:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HOSTLER_")}
    command = [sys.executable, "-m", "hostler", *words, "--json", "--data-dir", str(server.folder)]
    done = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def lines(server: HostlerProcess) -> list[dict[str, Any]]:
    written = (server.folder / "server.log").read_text().splitlines()
    return [json.loads(line) for line in written if line.startswith("{")]


def told(posted: Posted) -> dict[str, Any]:
    return json.loads(posted.body)


def signed(posted: Posted, secret: str) -> bool:
    """Check a message as any library of Standard Webhooks does."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{posted.headers['webhook-id']}.{posted.headers['webhook-timestamp']}.".encode() + posted.body
    expected = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    return posted.headers["webhook-signature"] == f"v1,{expected}"


def test_a_webhook_hears_of_every_change_once_it_can_whatever_dies_meanwhile(
    server: HostlerProcess, receiver: Receiver
) -> None:
    made = hostler(server, "webhook", "add", f"http://127.0.0.1:{receiver.port}/here")
    receiver.status = lambda _: 503
    execution = server.start_agent("say hello")
    assert server.rest(execution)["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
    (failed, *_) = receiver.until(bool)
    assert told(failed)["data"]["phase"] == "PHASE_PENDING"
    server.until(lambda: hostler(server, "webhook", "list")[0]["state"] == "failing")
    server.kill()
    receiver.status = lambda _: 204
    receiver.posted.clear()
    server.start()
    heard = receiver.until(lambda posted: len(posted) >= 3)
    data = [told(one)["data"] for one in heard]
    assert [one["phase"] for one in data] == ["PHASE_PENDING", "PHASE_RUNNING", "PHASE_WAITING_FOR_INPUT"]
    assert {one["agentExecutionId"] for one in data} == {execution}
    assert all(signed(one, made["secret"]) for one in heard)
    assert heard[0].headers["webhook-id"] == failed.headers["webhook-id"], "a repeat can be told from a new message"
    assert "say hello" not in json.dumps([one for one in data if one.pop("name")])

    def delivered() -> bool:
        found = hostler(server, "webhook", "deliveries", made["id"])
        return [one["state"] for one in found] == ["delivered"] * 3

    server.until(delivered)
    assert hostler(server, "webhook", "list")[0]["state"] == "enabled"
    assert made["secret"] not in (server.folder / "server.log").read_text()


def test_only_the_phases_that_were_asked_for_are_told_and_410_ends_it(
    server: HostlerProcess, receiver: Receiver
) -> None:
    made = hostler(server, "webhook", "add", f"http://127.0.0.1:{receiver.port}/", "--phase", "stopped")
    hostler(server, "webhook", "test", made["id"])
    assert told(receiver.until(bool)[0])["type"] == "webhook.test"
    receiver.posted.clear()
    receiver.status = lambda _: 410
    execution = server.start_agent("")
    server.call("StopAgentExecution", {"agentExecutionId": execution})
    (stopped,) = receiver.until(bool)
    assert told(stopped)["data"]["phase"] == "PHASE_STOPPED"
    server.until(lambda: hostler(server, "webhook", "list")[0]["state"] == "disabled")
    hostler(server, "webhook", "enable", made["id"][:13])
    assert hostler(server, "webhook", "list")[0]["state"] == "enabled"


def test_a_webhook_into_the_own_network_is_refused(server: HostlerProcess) -> None:
    for url in ("http://127.0.0.1:1/", "http://[::1]:1/", "http://169.254.169.254/latest", "http://0x7f.1:1/"):
        command = [sys.executable, "-m", "hostler", "webhook", "add", url, "--data-dir", str(server.folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1, url
        assert "private_hosts" in done.stderr
    assert hostler(server, "webhook", "list") == []


def test_lines_name_the_execution_the_runner_and_the_request(server: HostlerProcess) -> None:
    execution = server.start_agent("say hello", "file:///nowhere/at/all")
    server.rest(execution)
    known = [one for one in lines(server) if one.get("execution") == execution]
    requests = [one for one in known if one["event"] == "request"]
    assert {one["path"].rpartition("/")[2] for one in requests} >= {"SendToAgentExecution", "GetAgentExecution"}
    assert all(one["request_id"] for one in requests)


def test_settings_are_read_again_by_signal_and_a_fault_changes_nothing(
    server: HostlerProcess, receiver: Receiver
) -> None:
    file = server.folder / "hostler.toml"
    kept = file.read_text()

    def reloaded(text: str) -> dict[str, Any]:
        before = len(lines(server))
        file.write_text(text + kept)
        assert server.process
        server.process.send_signal(signal.SIGHUP)
        words = ("the settings were read again", "the settings were not taken")

        def found() -> dict[str, Any] | None:
            return next((one for one in lines(server)[before:] if one["event"] in words), None)

        done = server.until(found)
        assert done
        return done

    faulty = reloaded('slots = "many"\nnonsense = 1\n')
    assert "slots" in faulty["problem"]
    assert "nonsense" in faulty["problem"]
    assert hostler(server, "maintenance", "status") == {"on": False}  # it serves on
    changed = reloaded('slots = 7\nmodel = "scripted:nothing"\nmirror_gib = 3\n')
    assert set(changed["changed"]) == {"slots", "model"}
    assert changed["needs_restart"] == ["mirror_gib"]
    with pytest.raises(Refused, match="scripted:nothing"):
        server.call("StartAgent")
    file.write_text(kept)
    done = hostler(server, "reload")
    assert set(done["changed"]) == {"slots", "model"}
    server.call("StartAgent")


def test_maintenance_outlasts_the_server_and_can_stop_what_runs(server: HostlerProcess) -> None:
    execution = server.call("StartAgent")["agentExecutionId"]
    on = hostler(server, "maintenance", "on", "--message", "back at ten", "--stop")
    assert on["stopped"] == 1
    server.until(lambda: server.phase(execution) == "STOPPED")
    server.restart()
    with pytest.raises(Refused, match="back at ten"):
        server.call("StartAgent")
    assert hostler(server, "maintenance", "status")["message"] == "back at ten"
    hostler(server, "maintenance", "off")
    server.call("StartAgent")


def test_the_trail_outlasts_the_server(server: HostlerProcess) -> None:
    token = hostler(server, "token", "create", "laptop")
    execution = server.call("StartAgent")["agentExecutionId"]
    hostler(server, "token", "revoke", token["id"])
    server.until(lambda: len(hostler(server, "audit")) == 3)
    server.restart()
    found = hostler(server, "audit")
    assert [(one["action"].partition(" ")[0], one["subject"]["id"], one["outcome"]) for one in found] == [
        ("DELETE", token["id"], "done"),
        ("AgentService/StartAgent", execution, "done"),
        ("POST", token["id"], "done"),
    ]
    assert token["token"] not in json.dumps(found)
    assert len(hostler(server, "audit", "--subject", execution)) == 1
    assert hostler(server, "audit", "--since", "2999-01-01T00:00:00Z") == []
