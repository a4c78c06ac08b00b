"""Code hosts asked for environments: by their egress rules, over checked TLS, with the creator's credential alone."""

import ssl
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest

from hostler.core.ambient import SystemAmbient
from hostler.core.forges import CredentialNeeded, ForgeRefused, ForgeUnknown, Proposal
from hostler.core.hosts import HostToken
from hostler.core.providers import NetworkPolicy
from hostler.environments.credentials import GitLogins
from hostler.environments.egress import Egress, Target
from hostler.environments.forge_http import ForgeHttp
from hostler.environments.forges import Api, CodeHosts
from hostler.testing.forge import ForgeBook
from hostler.testing.forge_server import forge_server
from tests.environments.git_hub import certificate

SECRET = "pat-1234567890"
ENVIRONMENT, CREATOR = "environment", "creator"
Kind = Literal["github", "gitlab"]


def hidden(secrets: Iterable[str]) -> None:
    """Hide nothing."""


@contextmanager
def host(folder: Path, kind: Kind = "github") -> Generator[tuple[ForgeBook, Path]]:
    cert, key = certificate(folder)
    book = ForgeBook(kind, "", SECRET)
    with forge_server(folder, book, cert, key):
        yield book, cert


@asynccontextmanager
async def asking(
    book: ForgeBook, cert: Path | None, policy: NetworkPolicy | None = None, secret: str = SECRET, **known: Api
) -> AsyncGenerator[CodeHosts]:
    """Yield code hosts as an environment with a policy sees them; by default it may reach the book's host."""
    logins = GitLogins(bytes(32), SystemAmbient(), hidden)
    if secret:
        logins.put(token(book.host, logins, secret), secret)
    egress = Egress()
    folder = Path(cert.parent if cert else "/tmp")
    await egress.open(ENVIRONMENT, folder, -1, policy or NetworkPolicy(private=(book.host,)))

    async def subject_of(environment: str) -> str:
        return CREATOR

    async def permitted(environment: str, target: Target) -> None:
        await egress.permitted(environment, target)

    trust = ssl.create_default_context(cafile=str(cert) if cert else None)
    http = ForgeHttp("runner", logins, egress.on_behalf, subject_of, trust)
    try:
        yield CodeHosts(http, permitted, known or {book.host: Api(book.kind, "")})
    finally:
        await egress.close_all()


def token(where: str, logins: GitLogins, secret: str) -> HostToken:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    sealed = logins.seal("token", secret)
    return HostToken("token", "runner", where, CREATOR, "user", "pat", (), "", at, at, None, sealed)


def proposal(book: ForgeBook, **fields: str) -> Proposal:
    given = {"repository": f"https://{book.host}/team/shop.git", "head": "mend", **fields}
    return Proposal(title="Mend", body="Why", base="main", draft=True, mark="mark-1", **given)


@pytest.mark.parametrize("kind", ["github", "gitlab"])
async def test_a_pull_request_is_opened_once_and_known_again(tmp_path: Path, kind: Kind):
    with host(tmp_path, kind) as (book, cert):
        async with asking(book, cert) as hosts:
            first, existed = await hosts.open(ENVIRONMENT, proposal(book))
            assert (first.number, first.draft, existed) == ("1", True, False)
            again = await hosts.open(ENVIRONMENT, proposal(book))
            assert again == (first, False)
            other = Proposal(f"https://{book.host}/team/shop", "Mend", "", "mend", "main", False, "mark-2")
            assert await hosts.open(ENVIRONMENT, other) == (first, True)
            assert await hosts.get(ENVIRONMENT, f"https://{book.host}/team/shop", "1") == first
        assert len(book.pulls) == 1


@pytest.mark.parametrize("kind", ["github", "gitlab"])
async def test_a_lost_answer_is_looked_for(tmp_path: Path, kind: Kind):
    with host(tmp_path, kind) as (book, cert):
        async with asking(book, cert) as hosts:
            book.lost_answers = 1
            opened, existed = await hosts.open(ENVIRONMENT, proposal(book))
            assert (opened.number, existed) == ("1", False)


async def test_an_answer_that_nobody_can_find_is_unknown(tmp_path: Path):
    with host(tmp_path) as (book, cert):
        async with asking(book, cert) as hosts:
            book.lost_answers = 1
            book.forgets = 1
            with pytest.raises(ForgeUnknown):
                await hosts.open(ENVIRONMENT, proposal(book))


@pytest.mark.parametrize("kind", ["github", "gitlab"])
async def test_the_branch_of_a_fork_is_known_with_where_it_lies(tmp_path: Path, kind: Kind):
    with host(tmp_path, kind) as (book, cert):
        book.add("team/shop", "Theirs", "mend", fork="bob/shop")
        async with asking(book, cert) as hosts:
            pull = await hosts.get(ENVIRONMENT, f"https://{book.host}/team/shop.git", "1")
        assert (pull.head, pull.head_repository) == ("mend", f"https://{book.host}/bob/shop.git")


@pytest.mark.parametrize("kind", ["github", "gitlab"])
async def test_a_host_is_asked_which_kind_it_is(tmp_path: Path, kind: Kind):
    with host(tmp_path, kind) as (book, cert):
        async with asking(book, cert, elsewhere=Api("github", "")) as hosts:
            pull, _ = await hosts.open(ENVIRONMENT, proposal(book))
        assert pull.number == "1"


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (NetworkPolicy(allow=("elsewhere.example",)), "not on this environment's list"),
        (NetworkPolicy(allow=("127.0.0.1:{port}",)), "not a public address"),
        (NetworkPolicy(open=True), "not on this environment's list"),
    ],
)
async def test_a_host_that_an_environment_may_not_reach_is_not_asked(
    tmp_path: Path, policy: NetworkPolicy, reason: str
):
    with host(tmp_path) as (book, cert):
        port = book.host.rpartition(":")[2]
        policy = NetworkPolicy(tuple(one.format(port=port) for one in policy.allow), (), policy.open)
        async with asking(book, cert, policy) as hosts:
            with pytest.raises(ForgeRefused, match=reason):
                await hosts.open(ENVIRONMENT, proposal(book))
        assert book.asked == []


async def test_a_certificate_that_is_not_trusted_gets_no_credential(tmp_path: Path):
    with host(tmp_path) as (book, _):
        async with asking(book, None) as hosts:
            with pytest.raises(ForgeRefused, match="no encrypted connection"):
                await hosts.open(ENVIRONMENT, proposal(book))
        assert book.asked == []


@pytest.mark.parametrize("address", ["http://{host}/team/shop", "ssh://git@{host}/team/shop", "https:///team/shop"])
async def test_only_https_is_spoken(tmp_path: Path, address: str):
    with host(tmp_path) as (book, cert):
        async with asking(book, cert) as hosts:
            with pytest.raises(ForgeRefused):
                await hosts.open(ENVIRONMENT, proposal(book, repository=address.format(host=book.host)))
        assert book.asked == []


async def test_a_missing_or_refused_credential_is_said_with_whose_it_is(tmp_path: Path):
    with host(tmp_path) as (book, cert):
        for secret in ("", "wrong-1234567"):
            async with asking(book, cert, secret=secret) as hosts:
                with pytest.raises(CredentialNeeded) as refused:
                    await hosts.open(ENVIRONMENT, proposal(book))
            missing = refused.value.missing
            assert (missing.host, missing.subject, missing.runner) == (book.host, CREATOR, "runner")
            assert bool(missing.credential) == bool(secret)
            assert secret == "" or secret not in refused.value.message


async def test_a_branch_that_is_not_there_is_refused_with_the_hosts_words(tmp_path: Path):
    with host(tmp_path) as (book, cert):
        book.commit_of = lambda repository, branch: ""
        async with asking(book, cert) as hosts:
            with pytest.raises(ForgeRefused, match="head or base is no branch"):
                await hosts.open(ENVIRONMENT, proposal(book))
