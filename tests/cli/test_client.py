"""The client's way to a server: through a proxy where one is named, and not where it must not be."""

from urllib.parse import urlsplit

import pytest

from hostler.cli.client import Client, connected, proxy_of
from hostler.cli.places import Server
from hostler.cli.problems import Problem, Unreachable
from tests.cli.scripted import TOKEN, Raw, Scripted

VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy")


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("url", "variables", "proxy"),
    [
        ("https://hostler.example", {"HTTPS_PROXY": "http://proxy:3128"}, "proxy"),
        ("https://hostler.example", {"https_proxy": "proxy:3128"}, "proxy"),
        ("https://hostler.example", {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".example"}, None),
        ("https://hostler.example", {"http_proxy": "http://proxy:3128"}, None),
        ("http://hostler.example", {"http_proxy": "http://proxy:3128"}, "proxy"),
        ("http://127.0.0.1:8080", {"http_proxy": "http://proxy:3128"}, None),
        ("http://localhost:8080", {"http_proxy": "http://proxy:3128"}, None),
        ("https://hostler.example", {}, None),
    ],
)
def test_which_proxy_is_used(
    url: str, variables: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = proxy_of(urlsplit(url))
    assert (found.hostname if found else None) == proxy


def test_a_request_through_a_proxy_names_the_whole_url(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    client = Client(Server("http://hostler.example", TOKEN))
    assert [entry["id"] for entry in client.pages("x", "ListAgentExecutions", "agentExecutions")]
    assert server.asked[0].headers["host"] == "hostler.example"


def test_a_tunnel_goes_to_the_proxy_with_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:p%40ss@proxy:3128")
    connection, prefix = connected(urlsplit("https://hostler.example:8443/api"), 5)
    assert (connection.host, connection.port, prefix) == ("proxy", 3128, "")


def test_an_answer_that_is_not_json_is_named(server: Scripted) -> None:
    client = Client(Server(server.url, TOKEN))
    for body in (b"<html>", b"[1]", b"\xff"):
        server.answers["GetAgentExecution"] = Raw(body)
        with pytest.raises(Problem, match="HOSTLER_URL"):
            client.execution("x")


def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    with pytest.raises(Unreachable, match=r"nowhere\.invalid"):
        Client(Server("http://nowhere.invalid", TOKEN)).execution("x")
