"""A backup is made while the server works, and a new data folder from it goes on with what was there."""

import gzip
import json
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from hostler.backup import archive as form
from hostler.testing.postgres import throw_away_postgres
from tests.server import HostlerProcess, Refused

pytestmark = [pytest.mark.sandbox]


def cli(*words: str | Path, code: int = 0, env: dict[str, str] | None = None) -> str:
    """Run the command line as a user would; return what it wrote."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HOSTLER_")}
    command = [sys.executable, "-m", "hostler", *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True, env={**clean, **(env or {})})
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout if not code else ended.stderr


def told(*words: str | Path) -> dict[str, Any]:
    return json.loads(cli(*words, "--json"))


def worked(server: HostlerProcess, repository: Path) -> str:
    """Return an execution that changed a file, printed much, and whose work is kept."""
    execution = server.start_agent("run: echo by hand > made.txt; seq 1 60000", repository)
    server.rest(execution)
    server.until(lambda: any(kind == "WorkKept" for kind, _ in server.log(execution)))
    return execution


def test_an_execution_goes_on_from_its_kept_work_in_a_folder_made_of_a_backup(
    hostler: HostlerProcess, place: Path, wordcount: Path
):
    execution = worked(hostler, wordcount)
    log = hostler.log(execution)
    asked = hostler.start_agent("hello", wordcount)
    hostler.rest(asked)
    busy = hostler.start_agent("run: echo one >> runs; until [ -e go ]; do sleep 0.02; done", wordcount)
    hostler.until(lambda: any(kind == "ToolStarted" for kind, _ in hostler.log(busy)))
    file = place / "backup.tar.gz"
    made = told("backup", file, "--data-dir", hostler.folder)
    assert hostler.phase(busy) == "RUNNING"
    assert (made["kept"], made["missing"], stat.S_IMODE(file.stat().st_mode)) == (1, [], 0o600)
    assert told("backup", "--verify", file)["members"] > 10
    first = (hostler.folder / "runner").read_text()

    new = HostlerProcess(place / "new")
    (new.folder / ".restoring").mkdir(parents=True)
    (new.folder / ".restoring" / "hostler.db").write_text("of a restore that was killed")
    restored = told("restore", file, "--data-dir", new.folder)
    assert (new.folder / "runner").read_text() == restored["runner"] != first
    new.start()
    try:
        assert new.token == hostler.token
        assert new.log(execution) == log
        with pytest.raises(Refused, match=f"not on this machine any more.*hostler restore {execution}"):
            new.send(execution, "run: true")
        cli("restore", execution, "--data-dir", new.folder)
        new.send(execution, "run: cat made.txt")
        new.rest(execution)
        results = [body["text"] for kind, body in new.log(execution) if kind == "ToolFinished"]
        assert results[-1].strip() == "by hand"
        # One that changed nothing has nothing kept, and goes on in an environment like its first.
        with pytest.raises(Refused, match=f"nothing was changed there.*hostler restore {asked}"):
            new.send(asked, "run: true")
        cli("restore", asked, "--data-dir", new.folder)
        new.send(asked, "run: ls")
        new.rest(asked)
        assert "README.md" in [body["text"] for kind, body in new.log(asked) if kind == "ToolFinished"][-1]
        # What ran is not run a second time: its outcome is unknown, and said.
        assert new.rest(busy)["status"]["phase"] == "PHASE_STOPPED"
        assert [body["outcome"] for kind, body in new.log(busy) if kind == "ToolFinished"] == ["unknown"]
        assert told("replay", execution, "--data-dir", new.folder)["equal"]
        # The first server was not disturbed.
        (environment,) = hostler.get(busy)["status"]["usedEnvironments"]
        (hostler.folder / "environments" / environment["environmentId"] / "files" / "work" / "go").touch()
        assert hostler.rest(busy)["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
    finally:
        new.stop()


def test_a_backup_of_sqlite_is_restored_into_postgres_and_back(hostler: HostlerProcess, place: Path, wordcount: Path):
    execution = worked(hostler, wordcount)
    log = hostler.log(execution)
    hostler.stop()
    cli("backup", place / "one.tar.gz", "--data-dir", hostler.folder)
    with throw_away_postgres() as postgres:
        there = place / "there"
        words = ("--data-dir", there, "--database-url", postgres.url())
        cli("restore", place / "one.tar.gz", *words)
        assert not (there / "hostler.db").exists()
        assert "the database is not empty" in cli(
            "restore", place / "one.tar.gz", "--data-dir", place / "more", "--database-url", postgres.url(), code=1
        )
        server = HostlerProcess(there, env={"HOSTLER_DATABASE_URL": postgres.url()}).start()
        try:
            assert server.get(execution)["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
            assert not list(there.glob("blobs/*/*"))
            cli("backup", place / "two.tar.gz", *words)
        finally:
            server.stop()
    back = HostlerProcess(place / "back")
    cli("restore", place / "two.tar.gz", "--data-dir", back.folder)
    assert back.log(execution) == log
    (blob,) = {body["output"] for kind, body in log if kind == "ToolFinished"}
    assert (back.folder / "blobs" / blob[:2] / blob).read_bytes().endswith(b"60000\n")


def test_keys_are_left_out_when_asked(hostler: HostlerProcess, place: Path):
    cli("backup", "--exclude-keys", place / "b.tar.gz", "--data-dir", hostler.folder)
    cli("backup", place / "b.tar.gz", "--data-dir", hostler.folder, code=1)
    hostler.stop()
    content = gzip.decompress((place / "b.tar.gz").read_bytes())
    for name in ("key", "secret-key", "token"):
        data = (hostler.folder / name).read_bytes().strip()
        assert data not in content
        assert data.hex().encode() not in content
    new = HostlerProcess(place / "new")
    cli("restore", place / "b.tar.gz", "--data-dir", new.folder)
    new.start()
    assert new.token != hostler.token
    assert new.stop() == 0


def test_nothing_is_written_where_a_backup_cannot_be_used(hostler: HostlerProcess, place: Path):
    file = place / "b.tar.gz"
    cli("backup", file, "--data-dir", hostler.folder)
    assert "is not empty" in cli("restore", file, "--data-dir", hostler.folder, code=1)
    whole = file.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-9], whole[:900] + b"x" + whole[901:], b"text", b""):
        file.write_bytes(damaged)
        for words in (("restore", file, "--data-dir", place / "new"), ("backup", "--verify", file)):
            said = cli(*words, code=1)
            assert "hostler: " in said
            assert "Traceback" not in said
        assert not (place / "new").exists()
    raw = gzip.decompress(whole)
    at = raw.index(b'"sqlite"')
    file.write_bytes(gzip.compress(raw[:at] + b'"sqlots"' + raw[at + 8 :]))
    assert "is damaged: header.json is not what was put in" in cli("backup", "--verify", file, code=1)


def test_a_backup_of_a_newer_release_is_refused(place: Path):
    file = place / "newer.tar.gz"
    header = form.Header(form.FORMAT, "99.0", 999, "2026-01-01T00:00:00+00:00", "r", "sqlite", True)
    with file.open("wb") as out, form.writing(out) as archive:
        archive.add(form.HEADER, form.header_data(header))
    said = cli("restore", file, "--data-dir", place / "new", code=1)
    assert "made by Hostler 99.0; upgrade Hostler" in said
    assert not (place / "new").exists()


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "files/kept/../../x", "/etc/passwd", "files/lock"])
def test_an_archive_that_names_other_places_is_refused(place: Path, name: str):
    file = place / "evil.tar.gz"
    with tarfile.open(file, "w:gz") as tar:
        entry = tarfile.TarInfo(name)
        tar.addfile(entry)
    assert "is no backup of Hostler" in cli("restore", file, "--data-dir", place / "new", code=1)
    assert not (place / "new").exists()


def test_an_archive_that_says_to_be_larger_than_it_is_is_refused(place: Path):
    entry = tarfile.TarInfo("files/blobs/aa/x")
    entry.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"%011o\0" % 1_000_000  # its real size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    file = place / "evil.tar.gz"
    file.write_bytes(gzip.compress(bytes(block) + bytes(1024)))
    assert "it holds 'files/blobs/aa/x'" in cli("restore", file, "--data-dir", place / "new", code=1)
    assert not (place / "new").exists()
