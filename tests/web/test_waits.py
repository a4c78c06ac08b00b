"""What an agent waits for, on its page."""

from datetime import timedelta

from hostler.core import events as ev
from hostler.core import interests_events as ie
from tests.api.conftest import api
from tests.api.test_signing_in import Browser, browser
from tests.web.test_conversation import ended, owner, panel, said

__all__ = ["api", "browser", "owner"]


async def test_the_page_says_what_an_agent_waits_for_and_until_when(owner: Browser):
    execution = await said(owner)
    await ended(owner, execution, "c1")
    now = owner.api.clock.now()
    interests = (
        ie.Interest("n1", "timer", "5m", fires_at=now + timedelta(minutes=5), note="look at <CI>"),
        ie.Interest("n2", "sub_agent", subject="tester", until=now + timedelta(days=1)),
    )
    await owner.api.desk.append(execution, ie.InterestsRegistered("c1.1", interests), ev.TurnEnded(1))
    html = (await panel(owner, execution))["html"]
    assert "timer 5m (look at &lt;CI&gt;) and 1 more, or your message" in html["glance"]
    assert "woken at the latest" in html["glance"]
    assert ">Waiting<" in html["glance"]
    more = "".join(html.values())
    assert "sub-agent tester" in more
    assert "until" in more
    page = (await owner.get(f"/executions/{execution}")).text
    assert "It waits for timer 5m (look at &lt;CI&gt;) at 2026-01-01 00:05:00 UTC" in page


async def test_a_visitor_sees_that_it_waits_and_not_the_list_of_ids(owner: Browser):
    execution = await said(owner)
    await ended(owner, execution, "c1")
    interests = (
        ie.Interest("n1", "timer", "5m", fires_at=owner.api.clock.now()),
        ie.Interest("n2", "sub_agent", subject="x1"),
    )
    await owner.api.desk.append(execution, ie.InterestsRegistered("c1.1", interests), ev.TurnEnded(1))
    html = (await panel(owner, execution, "?as=visitor"))["html"]
    assert "timer 5m" in html["glance"]
    assert "x1" not in "".join(html.values())
