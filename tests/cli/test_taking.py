"""`hostler transcript`, `hostler export` and `hostler show --bundle`: files that are whole or not there."""

from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.scripted import ID, Raw, Refused, Scripted

BELOW = f"/api/executions/{ID}"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_transcript_goes_to_standard_output(cli: Cli, server: Scripted) -> None:
    server.answers[f"{BELOW}/transcript"] = Raw(b'{"number": 1}\n{"number": 2}\n')
    assert cli("transcript", ID).lines == ['{"number": 1}', '{"number": 2}']
    assert server.asked[-1].query == {"format": "jsonl"}
    cli("transcript", ID, "--md", "--tree")
    assert server.asked[-1].query == {"format": "md", "tree": "1"}


def test_an_export_becomes_a_file_named_after_the_conversation(cli: Cli, server: Scripted, here: Path) -> None:
    server.answers[f"{BELOW}/export"] = Raw(b"<html>")
    ended = cli("export", ID)
    assert (ended.code, ended.out) == (0, f"wrote conversation-{ID[:8]}.html (0.0 KiB)\n")
    assert (here / f"conversation-{ID[:8]}.html").read_bytes() == b"<html>"
    cli("export", ID, "--format", "json", "--tree", "-o", "mine.json")
    assert server.asked[-1].query == {"format": "json", "tree": "1"}
    assert [file.name for file in sorted(here.iterdir())] == [f"conversation-{ID[:8]}.html", "mine.json"]


def test_a_dash_is_standard_output(cli: Cli, server: Scripted, here: Path) -> None:
    server.answers[f"{BELOW}/export"] = Raw(b"# hello\n")
    assert cli("export", ID, "--format", "md", "-o", "-").raw == b"# hello\n"
    assert not list(here.iterdir())


def test_a_bundle_is_for_its_owner_only(cli: Cli, server: Scripted, here: Path) -> None:
    server.answers[f"{BELOW}/bundle"] = Raw(b"PK")
    assert cli("show", ID, "--bundle").code == 0
    file = here / f"support-{ID[:8]}.zip"
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"PK", 0o600)


def test_a_file_that_is_there_is_not_overwritten_unasked(cli: Cli, server: Scripted, here: Path) -> None:
    server.answers[f"{BELOW}/bundle"] = Raw(b"new")
    (here / "mine.zip").write_bytes(b"old")
    ended = cli("show", ID, "--bundle", "-o", "mine.zip")
    assert (ended.code, (here / "mine.zip").read_bytes()) == (1, b"old")
    assert "--force" in ended.err
    assert cli("show", ID, "--bundle", "-o", "mine.zip", "--force").code == 0
    assert (here / "mine.zip").read_bytes() == b"new"


def test_what_cannot_be_had_leaves_no_file(cli: Cli, server: Scripted, here: Path) -> None:
    server.answers[f"{BELOW}/bundle"] = Refused(403, "permission_denied", "a support bundle is for administrators")
    ended = cli("show", ID, "--bundle")
    assert (ended.code, "for administrators" in ended.err) == (1, True)
    server.answers[f"{BELOW}/export"] = Raw(b"half of it", {"content-length": "100"})
    ended = cli("export", ID)
    assert (ended.code, "connection" in ended.err) == (1, True)
    for words in (("export", ID, "-o", "no/such/folder"), ("export", ID, "-o", "."), ("show", ID, "-o", "x")):
        assert cli(*words).code in (1, 2)
    assert not list(here.iterdir())
