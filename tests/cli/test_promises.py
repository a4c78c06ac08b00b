"""Promises of the command line that a review found broken, each kept by a test."""

from tests.cli.conftest import Cli
from tests.cli.scripted import END, ID, TOKEN, Json, Refused, Scripted, execution, seen, text


def test_a_token_that_may_only_read_can_watch(cli: Cli, server: Scripted) -> None:
    server.answers["CreateAgentExecutionConversationToken"] = Refused(
        403, "permission_denied", "this token may only read"
    )
    server.streams = [[seen(1), text(2, "All is well."), END]]
    ended = cli("watch", ID)
    assert ended.code == 0, ended.err
    assert "All is well." in ended.out
    assert server.live()[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_waiting_outlasts_a_server_that_is_briefly_unavailable(cli: Cli, server: Scripted) -> None:
    answers: list[Refused | Json] = [
        Refused(503, "unavailable", "the database is away"),
        {"agentExecution": execution()},
    ]
    server.answers["GetAgentExecution"] = lambda body: answers.pop(0)
    ended = cli("wait", ID)
    assert ended.code == 0, ended.err
    assert "the database is away" in ended.err


def test_a_proxy_that_finds_no_server_for_a_moment_ends_no_watching(cli: Cli, server: Scripted) -> None:
    answers: list[Refused | Json] = [
        Refused(502, "", "<html>Bad Gateway</html>"),
        Refused(504, "", ""),
        {"agentExecution": execution()},
    ]
    server.answers["GetAgentExecution"] = lambda body: answers.pop(0)
    ended = cli("wait", ID)
    assert ended.code == 0, ended.err
    assert ended.err.count("reconnecting") == 2
