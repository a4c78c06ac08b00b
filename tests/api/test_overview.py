"""All executions at a glance."""

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.agents import Choice, Question
from tests.api.conftest import Api, with_agent
from tests.api.test_house import ask

COLOUR = Question("colour", "Which colour?\nIt matters.", (Choice("Blue", "blue"), Choice("Red", "red")))


async def test_who_needs_somebody_is_told_with_what_for(api: Api) -> None:
    with_agent(api, driver="codex")
    working = await api.prepared({"name": "first"})
    await api.send(working, "go")
    asking = await api.prepared({"name": "second"})
    await api.send(asking, "go")
    await api.desk.append(asking, ae.QuestionsAsked("a", (COLOUR,)))
    await api.desk.append(asking, ev.EgressRefused("example.org", "not allowed"))
    await api.desk.append(asking, ev.TurnEnded(1))
    answer = (await ask(api, "GET", "/executions")).json()
    second, first = answer["executions"]
    assert (first["id"], first["standing"], first["waitingFor"]) == (working, "working", "")
    assert (second["id"], second["standing"], second["waitingFor"]) == (asking, "needs", "an answer: Which colour?")
    assert second["hostler"]["openQuestions"][0]["id"] == "colour"
    assert second["metadata"]["name"] == "second"
    for standing, ids in (("needs", [asking]), ("working,needs", [asking, working]), ("done", [])):
        some = (await ask(api, "GET", f"/executions?standing={standing}")).json()["executions"]
        assert [one["id"] for one in some] == ids
    refused = await ask(api, "GET", "/executions?standing=lost")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_argument")
    assert (answer["more"], answer["now"]) == (False, "2026-01-01T00:00:00Z")


async def test_a_list_goes_on_behind_an_id(api: Api) -> None:
    ids = [await api.started() for _ in range(3)]
    page = (await ask(api, "GET", "/executions?limit=2")).json()
    assert ([one["id"] for one in page["executions"]], page["more"]) == ([ids[2], ids[1]], True)
    rest = (await ask(api, "GET", f"/executions?limit=2&before={ids[1]}")).json()
    assert ([one["id"] for one in rest["executions"]], rest["more"]) == ([ids[0]], False)
    for limit in ("0", "501", "x", "-1", ""):
        refused = await ask(api, "GET", f"/executions?limit={limit}")
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_argument")
