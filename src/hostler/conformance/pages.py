"""Lists: pages, their order, and filters."""

from hostler.conformance.bench import MARK, Bench, Failed, check, expect, refused
from hostler.conformance.wire import Json

LIST = "ListAgentExecutions"
NUMBER = 5


def several(bench: Bench) -> list[str]:
    """Return five executions of this run that differ in an annotation, the newest first."""
    made = [
        bench.once(f"page {number}", lambda number=number: bench.started(annotations={"number": str(number)}))
        for number in range(NUMBER)
    ]
    return made[::-1]


def mine(bench: Bench, **more: object) -> Json:
    """Return a request for the executions of `several`."""
    several(bench)
    return {"filter": {"agentExecutionIds": several(bench), "annotations": {MARK: bench.run}}, **more}


def ids(page: Json) -> list[str]:
    """Return the ids on a page."""
    return [str(one.get("id")) for one in page.get("agentExecutions", [])]


def next_token(page: Json) -> str:
    """Return the token of the next page; empty on the last one."""
    return str(page.get("pagination", {}).get("nextToken", ""))


@check("pages.query", "hazard 1")
def query_wins(bench: Bench) -> None:
    """The page of the query (?token=, ?pageSize=) wins over the one of the same body."""
    body = mine(bench, pagination={"pageSize": 2})
    seen: list[str] = []
    query = ""
    for _ in range(NUMBER):
        page = bench.call(f"gitpod.v1.AgentService/{LIST}", body, query=query)
        if set(ids(page)) & set(seen):
            raise Failed(f"a page came again although ?token= named the next one: {ids(page)} after {seen}")
        seen += ids(page)
        if not (token := next_token(page)):
            break
        query = f"?token={token}&pageSize=2"
    expect(seen, several(bench), "what all pages hold")


@check("pages.body", "wire details: lists")
def by_body(bench: Bench) -> None:
    """The page of the body is read too."""
    seen: list[str] = []
    token = ""
    for _ in range(NUMBER):
        page = bench.call(LIST, mine(bench, pagination={"pageSize": 2, "token": token}))
        seen += ids(page)
        token = next_token(page)
        if not token:
            break
    expect(seen, several(bench), "what all pages hold")


@check("pages.newest-first", "AgentService: lists are newest first by creation time")
def newest_first(bench: Bench) -> None:
    """Lists are newest first."""
    expect(ids(bench.call(LIST, mine(bench))), several(bench), "the order")


@check("pages.last", "wire details: absent or empty = last page")
def last_page(bench: Bench) -> None:
    """The last page names no next one."""
    expect(next_token(bench.call(LIST, mine(bench, pagination={"pageSize": 100}))), "", "nextToken of the last page")


@check("pages.query-size", "hazard 1")
def query_size(bench: Bench) -> None:
    """A page size in the query counts, and is checked as the body's is."""
    method = f"gitpod.v1.AgentService/{LIST}"
    expect(len(ids(bench.call(method, mine(bench), query="?pageSize=1"))), 1, "executions on a page of one")
    refused(bench.wire.post(method, mine(bench), query="?pageSize=101"), 400, "invalid_argument", "?pageSize=101")


@check("pages.bad-token", "Lists: a malformed page token is refused")
def bad_token(bench: Bench) -> None:
    """A page token that no list gave is invalid_argument."""
    answer = bench.wire.post(LIST, mine(bench, pagination={"token": "no-such-token"}))
    refused(answer, 400, "invalid_argument", "a token that no list gave")


@check("filters.annotations", "AgentService: every given pair must match")
def annotations(bench: Bench) -> None:
    """Of an annotation filter every pair must match."""
    made = several(bench)
    for number, wanted in (("0", [made[-1]]), ("4", [made[0]]), ("none", [])):
        body = {"filter": {"annotations": {MARK: bench.run, "number": number}}}
        expect(ids(bench.call(LIST, body)), wanted, f"executions with number={number}")


@check("filters.ids", "AgentService: filters")
def by_id(bench: Bench) -> None:
    """A filter by id finds just these."""
    chosen = several(bench)[1:3]
    expect(ids(bench.call(LIST, {"filter": {"agentExecutionIds": chosen}})), chosen, "executions by id")


@check("filters.session", "AgentService: filters")
def by_session(bench: Bench) -> None:
    """A filter by session finds the group, and the group can be named at the start."""
    session = str(bench.get(several(bench)[0]).get("metadata", {}).get("sessionId", ""))
    other = bench.once("grouped", lambda: bench.started(sessionId=session))
    found = ids(bench.call(LIST, {"filter": {"sessionIds": [session]}}))
    expect(found, [other, several(bench)[0]], f"executions of session {session}")


@check("filters.phase", "AgentService: filters")
def by_phase(bench: Bench) -> None:
    """A filter by phase finds no execution in another one."""
    page = bench.call(LIST, {"filter": {"statusPhases": ["PHASE_STOPPED"], "annotations": {MARK: bench.run}}})
    wrong = [one["id"] for one in page.get("agentExecutions", []) if one["status"]["phase"] != "PHASE_STOPPED"]
    expect(wrong, [], "executions that are not STOPPED")
