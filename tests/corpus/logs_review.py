"""The log of an execution that works on a pull request, and of what it needs for that."""

from collections.abc import Iterable

from hostler.core import events as ev
from hostler.core import forge_events as fe
from hostler.core.conversation import Text
from hostler.core.events import Recorded
from tests.corpus.logs import Writing, named, ready, started

PULL = "https://code.example.org/team/wordcount/pull/7"
COMMIT = "95b87f0004c5c0ffee0000000000000000000000"


def review() -> Iterable[Recorded]:
    """A clone that waits for a credential, a pull request that was given and one that is opened, remarks."""
    w = Writing("review")
    context = {"codeContext": {"contextUrl": {"url": PULL}}}
    w.add(started("review", name="Review the ranking", request=context))
    first = w.queued("first", "Review it.")
    host, runner = "code.example.org", named("runner")
    said = "not authenticated: the repository asks for a credential"
    w.add(fe.HostAuthenticationRequired("", host, said, "clone", named("owner"), "", runner), seconds=2)
    w.add(fe.HostAuthenticated(host), ready("review"), seconds=60)
    w.add(ev.TurnStarted(1, "life-1", 1.0))
    w.add(fe.PullRequestGiven(PULL, "7", "Count every word", "every-word", "main", "ann", checked_out=True))
    w.add(ev.InputTaken((first,)))
    w.replied("c1", Text("One remark."))
    remark = "It stops one too early:\n\n- the slice leaves the **last** word out"
    w.add(fe.CodeAnnotated("c1.0", "wordcount/ranking.py", 11, 12, "Off by one", remark))
    w.add(fe.EnvironmentCreated("c1.1", named("review", "second")))
    w.add(fe.HostAuthenticationRequired("c1.2", "review.example.org", "push refused", "push", "", "token:1", runner))
    w.add(fe.BranchPushed("c1.3", "every-word", COMMIT))
    w.add(fe.PullRequestOpened("c1.3", PULL, "7", "Count every word", existed=True), ev.TurnEnded(1))
    return w.log
