"""The mode an agent works in and the goal it pursues, on its page."""

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core import modes_events as m
from hostler.core.agents import Goal
from tests.api.conftest import api
from tests.api.test_signing_in import Browser, browser
from tests.web.test_conversation import owner, panel, said

__all__ = ["api", "browser", "owner"]


async def test_the_page_says_the_mode_its_milestones_and_the_goal(owner: Browser):
    execution = await said(owner)
    await owner.api.desk.append(
        execution,
        m.ModeEntered("ralph", "asked for", task="build"),
        m.ModeChanged("ralph", "iteration_complete", "1 of 2 <steps> are done."),
        ae.GoalChanged(Goal("Count <words>", "budget_exhausted", 2000, 2100)),
    )
    more = "".join((await panel(owner, execution))["html"].values())
    assert "works through a plan" in more
    assert "Count &lt;words&gt;" in more
    assert "budget exhausted" in more
    assert "2.1k of 2.0k tokens used" in more
    page = (await owner.get(f"/executions/{execution}")).text
    assert "The agent makes a plan, then works through it in rounds." in page
    assert "1 of 2 &lt;steps&gt; are done." in page


async def test_without_either_the_page_says_nothing_of_them(owner: Browser):
    execution = await said(owner)
    await owner.api.desk.append(execution, ev.EnvironmentReady("e", "i"))
    more = "".join((await panel(owner, execution))["html"].values())
    assert 'aria-label="Goal"' not in more
    assert 'id="mode"' not in more
