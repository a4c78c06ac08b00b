"""What git may ask a code host for, what it is told of hosts, and how their secrets are kept."""

from pathlib import Path

import pytest

from hostler.core.redaction import Redactor
from hostler.environments.credentials import GitLogins
from hostler.environments.git_http import GitRefusal, git_request, gitconfig
from tests.environments.git_hub import SECRET
from tests.environments.git_server import git
from tests.environments.test_git_http import AMBIENT, ASK, token

HOST = "http://git.example.hostler.invalid"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v4/user"),
        ("GET", "/ann/shop.git/HEAD"),
        ("GET", "/ann/shop.git/info/refs"),
        ("GET", "/api/user?x=/info/refs?service=git-upload-pack"),
        ("GET", "/api/user#/info/refs?service=git-upload-pack"),
        ("GET", "/ann/../api/info/refs?service=git-upload-pack"),
        ("GET", "/ann/%2e%2E/api/info/refs?service=git-upload-pack"),
        ("GET", "/ann%2Fshop/info/refs?service=git-upload-pack"),
        ("GET", "//evil/info/refs?service=git-upload-pack"),
        ("GET", "/ann/shop.git/info/refs?service=git-upload-pack&x=1"),
        ("POST", "/ann/shop.git/info/refs?service=git-upload-pack"),
        ("POST", "/ann/shop.git/info/lfs/objects/batch"),
        ("POST", "/api/x?y=/git-receive-pack"),
        ("PUT", "/ann/shop.git/git-receive-pack"),
        ("DELETE", "/ann/shop.git/git-receive-pack"),
    ],
)
def test_only_gits_own_requests_are_passed_on(method: str, path: str) -> None:
    with pytest.raises(GitRefusal, match="only git"):
        git_request(method, HOST + path, [])


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 1", "Content-Length: 2"],
        ["Content-Length: 1", "Transfer-Encoding: chunked"],
        ["Accept: x\nAuthorization: Basic evil"],
        ["Accept: x\rX: y"],
        [" folded: line"],
        ["no colon"],
        ["Content-Length : 1"],
        ["Content-Length: -1"],
        ["Content-Length: +1"],
        ["Content-Length: 1_0"],
        ["Content-Length:"],
        ["Transfer-Encoding: gzip, chunked"],
        ["Transfer-Encoding: xchunked"],
    ],
)
def test_a_header_that_a_host_could_read_in_another_way_is_refused(lines: list[str]) -> None:
    with pytest.raises(GitRefusal):
        git_request("GET", HOST + ASK, lines)


def test_a_request_says_what_git_says_and_no_more() -> None:
    lines = ["Host: x", "Authorization: Basic own", "Cookie: a", "Git-Protocol: version=2", "X-Forwarded-For: 1"]
    request = git_request("GET", f"{HOST}:8443{ASK}", lines)
    head = request.head(None).decode()
    assert head.startswith(f"GET {ASK} HTTP/1.1\r\n")
    assert "host: git.example:8443\r\n" in head
    assert "git-protocol: version=2\r\n" in head
    assert not [name for name in ("own", "cookie", "forwarded") if name in head.lower()]


def test_a_push_says_what_it_is_whatever_it_claims() -> None:
    request = git_request("POST", f"{HOST}/ann/shop.git/git-receive-pack", ["Content-Type: application/json"])
    assert b"content-type: application/x-git-receive-pack-request\r\n" in request.head(None)


def test_git_is_told_about_every_spelling_of_a_host(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(gitconfig(["git.example", "hub.example:8443"]))
    for given, meant in (
        ("https://git.example/a/b", "http://git.example.hostler.invalid/a/b"),
        ("https://git.example:443/a/b", "http://git.example.hostler.invalid/a/b"),
        ("git@git.example:a/b", "http://git.example.hostler.invalid/a/b"),
        ("ssh://git@git.example/a/b", "http://git.example.hostler.invalid/a/b"),
        ("https://hub.example:8443/a/b", "http://hub.example.hostler.invalid:8443/a/b"),
        ("https://hub.example/a/b", "https://hub.example/a/b"),
        ("https://git.example.org/a/b", "https://git.example.org/a/b"),
    ):
        git(tmp_path, "init", "-q", "repository") if not (tmp_path / "repository").exists() else None
        found = git(tmp_path / "repository", "-c", f"include.path={tmp_path}/config", "ls-remote", "--get-url", given)
        assert found == meant


def test_secrets_are_sealed_for_their_own_row_and_key(caplog: pytest.LogCaptureFixture) -> None:
    hidden = Redactor()
    logins = GitLogins(b"k" * 32, AMBIENT, hidden.add)
    sealed = logins.seal("token-1", SECRET)
    assert SECRET not in sealed
    mine = token("git.example", id="token-1", sealed=sealed)
    for key, row, works in (
        (b"k" * 32, mine, True),
        (b"x" * 32, mine, False),
        (b"k" * 32, token("git.example", id="token-2", sealed=sealed), False),
        (b"k" * 32, token("git.example", id="token-1", sealed="garbage"), False),
    ):
        again = GitLogins(key, AMBIENT, hidden.add)
        again.load([row])
        assert again.usable(row.id) is works
    assert SECRET not in hidden.text(f"a {SECRET}")
