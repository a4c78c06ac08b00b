"""What a start says of a pull request, what an agent is told of it, and how a missing credential is read from words."""

from datetime import UTC, datetime

import pytest

from hostler.core import events as ev
from hostler.core import forge_events as fe
from hostler.core.events import Json, Recorded
from hostler.core.forge import Asked, Forge, asked_of, follow, told
from hostler.core.state import State

PAGE = "https://git.example/team/shop/pull/7"


def test_a_page_of_a_pull_request_names_it():
    asked = asked_of({"codeContext": {"contextUrl": {"url": PAGE}}})
    assert asked == Asked(PAGE, "7", repository="https://git.example/team/shop", ref="refs/pull/7/head")
    merge = "https://gitlab.example:8443/a/b/c/-/merge_requests/12/diffs"
    asked = asked_of({"codeContext": {"contextUrl": {"url": merge}}})
    assert asked == Asked(
        merge, "12", repository="https://gitlab.example:8443/a/b/c", ref="refs/merge-requests/12/head"
    )


def test_what_a_client_says_of_a_pull_request_is_kept():
    pull = {
        "id": "7",
        "title": "Count",
        "fromBranch": "count",
        "toBranch": "main",
        "author": "ann",
        "url": PAGE,
        "repository": {"cloneUrl": "https://git.example/team/shop.git"},
    }
    asked = asked_of({"codeContext": {"pullRequest": pull}})
    assert asked == Asked(
        PAGE, "7", "Count", "count", "main", "ann", "https://git.example/team/shop", "refs/pull/7/head"
    )


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"contextUrl": {"url": "https://git.example/team/shop"}},
        {"contextUrl": {"url": "/home/ann/shop"}},
        {"contextUrl": {"url": "http://[bad"}},
        {"projectId": "p", "pullRequest": {"fromBranch": "main"}},
    ],
)
def test_a_repository_or_a_branch_is_no_pull_request(context: Json):
    assert asked_of({"codeContext": context}) is None


def test_an_agent_is_told_what_is_known_of_its_pull_request():
    given = fe.PullRequestGiven(PAGE, "7", "Count", "count", "main", "ann", draft=True, checked_out=True)
    assert told(given).splitlines() == [
        "Pull request: #7 Count",
        f"URL: {PAGE}",
        "Author: ann",
        "From branch: count",
        "Into branch: main",
        "State: draft",
        "The workspace is at its branch; commits that you push with `git push` go to count.",
    ]
    assert told(fe.PullRequestGiven(PAGE, "7", note="It does not answer.")).splitlines()[-1] == "It does not answer."


@pytest.mark.parametrize(
    "said",
    [
        "fatal: could not read Username for 'https://git.example:8443': terminal prompts disabled",
        "remote: hostler egress: not authenticated: https://git.example:8443/a/b asks for a credential; store one",
        "remote: hostler egress: not authenticated: git.example:8443 refused the credential; replace it",
    ],
)
def test_a_refusal_for_want_of_a_credential_is_read_from_what_git_says(said: str):
    def after(outcome: ev.Outcome, text: str) -> Forge:
        recorded = Recorded(2, datetime(2026, 5, 4, tzinfo=UTC), ev.ToolFinished("c1.0", outcome, text))
        return follow(Forge(), State(), recorded)

    assert after("failed", said).hints == (("c1.0", "git.example:8443"),)
    assert after("ok", said).hints == ()
    assert after("failed", "not authenticated for this: git.example says no").hints == ()
