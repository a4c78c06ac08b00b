"""A secret that was learned late is nowhere in the data folder after a scrub, and what is told still agrees."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hostler.core.spoken import Spoken
from hostler.store.spoken import SpokenFiles
from hostler.testing.postgres import throw_away_postgres
from tests.server import HostlerProcess
from tests.whole.canary import forms

pytestmark = [pytest.mark.sandbox]

SECRET = 'Late-"secret"/of+ours&=ö-7f3a9'
ENCODED = (
    "python3 - <<'END'\n"
    "import base64, json, urllib.parse\n"
    "s = open('secret.txt').read()\n"
    "print(s, base64.b64encode(s.encode()).decode(), s.encode().hex(), json.dumps(s), urllib.parse.quote(s, safe=''))\n"
    "END"
)


def scrub(folder: Path, *words: str, secret: str = SECRET, code: int = 0, **env: str) -> tuple[dict[str, Any], str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HOSTLER_")}
    command = [sys.executable, "-m", "hostler", "scrub", "--json", "--data-dir", str(folder), *words]
    ended = subprocess.run(command, input=f"{secret}\n".encode(), capture_output=True, env={**clean, **env})
    said = ended.stderr.decode()
    assert ended.returncode == code, said
    assert secret not in said + ended.stdout.decode()
    return (json.loads(ended.stdout) if ended.stdout else {}), said


def standing(folder: Path) -> list[str]:
    """Return the files of a data folder in which the secret stands in any form, in git's objects too."""
    wanted = [form for name, form in forms(SECRET) if "half" not in name]
    found: list[str] = []
    for path in (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        data = path.read_bytes()
        if path.parent.parent.name == "objects" and not path.suffix:
            data = zlib.decompress(data)
        if any(form in data for form in wanted):
            found.append(str(path.relative_to(folder)))
    for repository in folder.glob("kept/*.git"):
        words = ["git", "--git-dir", repository, "cat-file", "--batch-all-objects", "--batch"]
        if SECRET.encode() in subprocess.run(words, capture_output=True, check=True).stdout:
            found.append(repository.name)
    return found


def planted(server: HostlerProcess, repository: Path) -> str:
    """Plant the secret wherever a person or an agent may bring it; return the execution."""
    (repository / "secret.txt").write_text(SECRET)
    for words in (("add", "-A"), ("-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-qm", "second")):
        subprocess.run(["git", *words], cwd=repository, check=True)
    execution = server.start_agent(
        f"run: {ENCODED}", repository, name=f"named {SECRET}", annotations={"note": f"with {SECRET}"}
    )
    server.rest(execution)
    server.send(execution, "run: for i in $(seq 3000); do cat secret.txt; echo; done; cp secret.txt changed.txt")
    server.rest(execution)
    server.until(lambda: any(kind == "WorkKept" and body.get("files") for kind, body in server.log(execution)))
    prompt = {"name": f"P {SECRET}", "description": SECRET, "prompt": f"say {SECRET}", "isTemplate": True}
    server.call("CreatePrompt", prompt)
    url = f"https://example.org/{SECRET.encode().hex()}/x.git"
    project = {"name": f"Pr {SECRET}", "initializer": {"specs": [{"git": {"remoteUri": url}}]}}
    server.call("CreateProject", project, "ProjectService")
    return execution


def removed(server: HostlerProcess, execution: str) -> None:
    """Remove the environment of an execution, which scrubbing leaves alone."""
    (used,) = server.get(execution)["status"]["usedEnvironments"]
    asked = {"environmentId": used["environmentId"], "force": True}
    server.call("DeleteEnvironment", asked, "EnvironmentService")
    folder = server.folder / "environments" / used["environmentId"]
    server.until(lambda: not folder.exists())


def said_by_page(server: HostlerProcess, execution: str) -> dict[str, Any]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HOSTLER_")}
    words = [sys.executable, "-m", "hostler", "replay", "--json", execution, "--data-dir", str(server.folder)]
    ended = subprocess.run(words, capture_output=True, env=clean)
    return json.loads(ended.stdout)


def test_a_secret_that_was_planted_everywhere_stands_nowhere_afterwards(hostler: HostlerProcess, wordcount: Path):
    execution = planted(hostler, wordcount)
    before = hostler.log(execution)
    removed(hostler, execution)
    seen, _ = scrub(hostler.folder, "--dry-run")
    assert {"table event", "table prompt", "table project", "table annotation", "large outputs"} <= seen[
        "places"
    ].keys()
    assert "stop it" in scrub(hostler.folder, code=1)[1]
    hostler.stop()
    said = SpokenFiles(hostler.folder / "said")
    for piece in (SECRET[:9], SECRET[9:]):
        said.add("gone", Spoken("b1", "c1", 0, "text", piece))
    said.release("gone")
    setup = hostler.folder / "setups" / ("5e" * 32)
    setup.mkdir(parents=True)
    (setup / "work").write_text(f"a tar with {SECRET} in it")
    assert standing(hostler.folder)
    done, _ = scrub(hostler.folder, code=1)
    done_first = done
    assert [one["where"] for one in done["left"] if one["where"].startswith("kept")] == [f"kept/{execution}.git"]
    done, _ = scrub(hostler.folder, "--remove-kept")
    assert done["left"] == []
    assert standing(hostler.folder) == []
    assert [piece.text for piece in said.read("gone")] == ["[redacted]"]
    assert not setup.exists()
    with closing(sqlite3.connect(hostler.folder / "hostler.db")) as database:
        noted = "SELECT outcome, details FROM audit WHERE action = 'Scrubbed' ORDER BY id"
        outcome, details = database.execute(noted).fetchone()
    assert (outcome, json.loads(details)["log"]) == ("done", str(done_first["places"]["log"]))
    hostler.start()
    try:
        after = hostler.log(execution)
        assert [kind for kind, _ in after] == [kind for kind, _ in before]
        assert said_by_page(hostler, execution)["equal"]
        (blob,) = {body["output"] for kind, body in after if kind == "ToolFinished" and body.get("output")}
        assert (hostler.folder / "blobs" / blob[:2] / blob).read_bytes().count(b"[redacted]") == 3000
        assert hostler.get(execution)["metadata"]["annotations"] == {"note": "with [redacted]"}
        # From now on it is masked when it comes in.
        fresh = hostler.start_agent(f"run: echo {SECRET.encode().hex()}")
        hostler.rest(fresh)
        assert SECRET.encode().hex() not in json.dumps(hostler.log(fresh))
    finally:
        hostler.stop()
    assert scrub(hostler.folder)[0]["places"] == {}


def blobs(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("blobs/*/*") if len(path.name) == 64}


def test_a_scrub_that_was_killed_is_done_by_the_next_one(hostler: HostlerProcess, wordcount: Path):
    execution = planted(hostler, wordcount)
    removed(hostler, execution)
    hostler.stop()
    folder, before = hostler.folder, blobs(hostler.folder)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HOSTLER_")}
    command = [sys.executable, "-m", "hostler", "scrub", "--remove-kept", "--data-dir", str(folder)]
    moments: list[Callable[[], bool]] = [
        lambda: (folder / "learned").exists(),
        lambda: bool(blobs(folder) - before),
        lambda: not before & blobs(folder),
        lambda: not list(folder.glob("kept/*.git")),
    ]
    for reached in moments:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=-3, stderr=-3, env=clean) as child:
            assert child.stdin
            child.stdin.write(SECRET.encode())
            child.stdin.close()
            hostler.until(lambda: reached() or child.poll() is not None)  # noqa: B023 it is asked here only
            child.send_signal(signal.SIGKILL)
    scrub(folder, "--remove-kept")
    assert standing(folder) == []
    hostler.start()
    assert said_by_page(hostler, execution)["equal"]


def test_the_rows_of_postgres_are_scrubbed_too(place: Path, wordcount: Path):
    with throw_away_postgres() as postgres:
        folder = place / "data"
        folder.mkdir(mode=0o711)
        server = HostlerProcess(folder, env={"HOSTLER_DATABASE_URL": postgres.url()}).start()
        server.call(
            "CreatePrompt", {"name": f"P {SECRET}", "description": "d", "prompt": f"say {SECRET}", "isTemplate": True}
        )
        execution = server.start_agent(f"run: for i in $(seq 3000); do echo '{SECRET}'; done")
        server.rest(execution)
        server.stop()
        url = ("--database-url", postgres.url())
        done = scrub(folder, "--remove-kept", *url, code=1)[0]["places"]  # Its environment holds it too.
        assert done["log"]
        assert done["large outputs"] == 1
        assert scrub(folder, "--dry-run", *url)[0]["places"] == {}
        server.start()
        try:
            assert "[redacted]" in json.dumps(server.get(execution))
        finally:
            server.stop()


def test_what_is_no_secret_is_refused(hostler: HostlerProcess, place: Path):
    assert "at least 8 characters" in scrub(hostler.folder, "--dry-run", secret="short", code=1)[1]
    (place / "file").write_text("x")
    assert "give what is in it" in scrub(hostler.folder, "--dry-run", secret=str(place / "file"), code=2)[1]
