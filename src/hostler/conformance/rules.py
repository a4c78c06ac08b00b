"""The contract's validation rules, as a table: what breaks one is invalid_argument, what just keeps it is not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hostler.conformance.bench import Bench, Check, Failed, enter, refused
from hostler.conformance.wire import AGENTS, ENVIRONMENTS, EVENTS

NOT_A_UUID = "not-a-uuid"
UUID = "0190ffff-0000-7000-8000-00000000ffff"
Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, what breaks it, and what is nearest to it and keeps it."""

    method: str
    of: str
    says: str
    breaks: tuple[Body, ...]
    keeps: tuple[Body, ...] = field(default=())
    """What must not be answered with invalid_argument."""


def one_id(method: str, name: str = "agentExecutionId") -> Rule:
    """Return the rule of a method that is about one thing."""
    broken: tuple[Body, ...] = ({name: NOT_A_UUID}, {name: ""}, {}, {name: UUID + "0"})
    return Rule(method, name, "a uuid is needed", broken, ({name: UUID},))


def page(method: str) -> Rule:
    """Return the rule of a list's pages."""
    sizes = [{"pagination": {"pageSize": size}} for size in (-1, 101, 2147483647)]
    kept = [{"pagination": {"pageSize": size}} for size in (0, 1, 100)]
    return Rule(method, "pagination.pageSize", "0 to 100", tuple(sizes), ({}, *kept))


def filtered(method: str, name: str, one: object, most: int, *broken: object) -> Rule:
    """Return the rule of a list in a filter."""
    too_many = {"filter": {name: [one] * (most + 1)}}
    return Rule(
        method,
        f"filter.{name}",
        f"at most {most}",
        (too_many, *({"filter": {name: [bad]}} for bad in broken)),
        ({"filter": {name: [one] * most}}, {"filter": {name: []}}),
    )


def said(**block: Any) -> Body:
    """Return a send to an execution that is not there: what keeps the rules is not_found."""
    return {"agentExecutionId": UUID, "userInput": block}


def control(**block: Any) -> Body:
    """Return a control input to an execution that is not there."""
    return {"agentExecutionId": UUID, "controlInput": block}


def prompt(**more: Any) -> Body:
    """Return a prompt that keeps every rule but for `more`; it is never made, for its name is deceptive."""
    return {"name": "a\u202eb", "description": "d", "prompt": "p", **more}


LIST = "ListAgentExecutions"
SEND = "SendToAgentExecution"
ONE_TEXT: Body = {"text": {"content": "x"}}
WATCHED = {"resourceType": "RESOURCE_TYPE_AGENT_EXECUTION"}
RULES: tuple[Rule, ...] = (
    one_id("GetAgentExecution"),
    one_id("StopAgentExecution"),
    one_id("DeleteAgentExecution"),
    one_id("CreateAgentExecutionConversationToken"),
    one_id("UpdateAgentExecution"),
    one_id("GetPrompt", "promptId"),
    one_id("DeletePrompt", "promptId"),
    one_id(f"{ENVIRONMENTS}/GetEnvironment", "environmentId"),
    one_id(f"{ENVIRONMENTS}/DeleteEnvironment", "environmentId"),
    Rule("StartAgent", "name", "at most 100 characters", ({"name": "x" * 101}, {"name": "é" * 101})),
    Rule("StartAgent", "agentId", "a uuid or empty", ({"agentId": NOT_A_UUID},)),
    Rule("StartAgent", "runnerId", "a uuid or empty", ({"runnerId": NOT_A_UUID},)),
    Rule("StartAgent", "sessionId", "a uuid or empty", ({"sessionId": NOT_A_UUID},)),
    Rule("StartAgent", "workflowActionId", "a uuid", ({"workflowActionId": NOT_A_UUID},)),
    Rule("StartAgent", "codeContext.environmentId", "a uuid", ({"codeContext": {"environmentId": NOT_A_UUID}},)),
    Rule("StartAgent", "codeContext.projectId", "a uuid", ({"codeContext": {"projectId": NOT_A_UUID}},)),
    Rule(
        "StartAgent",
        "codeContext.contextUrl.url",
        "a URI",
        ({"codeContext": {"contextUrl": {"url": "no uri at all"}}},),
    ),
    Rule("StartAgent", "turnOptions.modes", "at most 4", ({"turnOptions": {"modes": ["AGENT_MODE_EXECUTION"] * 5}},)),
    page(LIST),
    filtered(LIST, "agentIds", UUID, 25),
    filtered(LIST, "environmentIds", UUID, 25),
    filtered(LIST, "creatorIds", UUID, 25),
    filtered(LIST, "projectIds", UUID, 25, NOT_A_UUID),
    filtered(LIST, "sessionIds", UUID, 25, NOT_A_UUID),
    filtered(LIST, "agentExecutionIds", UUID, 100, NOT_A_UUID),
    filtered(LIST, "statusPhases", "PHASE_RUNNING", 25, "PHASE_OF_TOMORROW"),
    page("ListPrompts"),
    Rule("ListPrompts", "filter.search", "at most 256 characters", ({"filter": {"search": "x" * 257}},)),
    Rule("ListPrompts", "filter.commandPrefix", "at most 50 characters", ({"filter": {"commandPrefix": "x" * 51}},)),
    Rule(SEND, "agentExecutionId", "a uuid is needed", ({"agentExecutionId": NOT_A_UUID, "userInput": ONE_TEXT},)),
    Rule(SEND, "userInput.text.content", "one character at least", (said(text={"content": ""}),), (said(**ONE_TEXT),)),
    Rule(
        SEND,
        "userInput.inputs",
        "at most 10",
        (said(inputs=[ONE_TEXT] * 11),),
        (said(inputs=[ONE_TEXT] * 10), said(inputs=[ONE_TEXT])),
    ),
    Rule(
        SEND,
        "userInput.inputs.image",
        "PNG or JPEG, one byte at least",
        (
            said(inputs=[{"image": {"data": "R0lGODlh", "mimeType": "image/gif"}}]),
            said(inputs=[{"image": {"data": "", "mimeType": "image/png"}}]),
        ),
    ),
    Rule(
        SEND,
        "controlInput.deleteQueuedMessage.userInputId",
        "one character at least",
        (control(deleteQueuedMessage={"userInputId": ""}),),
        (control(deleteQueuedMessage={"userInputId": "x"}),),
    ),
    Rule(SEND, "controlInput.moveQueuedMessage.userInputId", "one at least", (control(moveQueuedMessage={}),)),
    Rule(SEND, "controlInput.steerQueuedMessage.userInputId", "one at least", (control(steerQueuedMessage={}),)),
    Rule("CreatePrompt", "name", "1 to 255 characters", ({**prompt(), "name": ""}, {**prompt(), "name": "x" * 256})),
    Rule("CreatePrompt", "description", "1 to 500", (prompt(description=""), prompt(description="x" * 501))),
    Rule("CreatePrompt", "prompt", "1 to 20000", (prompt(prompt=""), prompt(prompt="x" * 20_001))),
    Rule(
        "CreatePrompt",
        "command",
        "at most 50 of letters, digits, _ and -",
        tuple(prompt(isCommand=True, command=bad) for bad in ("a b", "é", "x" * 51, "a/b")),
    ),
    Rule("UpdatePrompt", "promptId", "a uuid is needed", ({"promptId": NOT_A_UUID},)),
    Rule(
        "ReportAgentExecutionOutputs",
        "outputs",
        "one at least",
        ({"agentExecutionId": UUID}, {"agentExecutionId": UUID, "outputs": {}}),
    ),
    Rule(
        f"{EVENTS}/WatchEvents",
        "resourceTypeFilters",
        "at most 50, of a known type, with at most 25 uuids each",
        (
            {"organization": True, "resourceTypeFilters": [WATCHED] * 51},
            {"organization": True, "resourceTypeFilters": [{"resourceType": "RESOURCE_TYPE_UNSPECIFIED"}]},
            {"organization": True, "resourceTypeFilters": [{**WATCHED, "resourceIds": [UUID] * 26}]},
            {"organization": True, "resourceTypeFilters": [{**WATCHED, "resourceIds": [NOT_A_UUID]}]},
        ),
    ),
)


def look(rule: Rule, bench: Bench) -> None:
    """Ask with what breaks the rule, and with what keeps it."""
    for body in rule.breaks:
        refused(bench.wire.post(rule.method, dict(body)), 400, "invalid_argument", f"{_cut(body)}")
    for body in rule.keeps:
        answer = bench.wire.post(rule.method, dict(body))
        if answer.code == "invalid_argument":
            raise Failed(f"{_cut(body)} keeps the rule and was refused: {answer}")


def _cut(body: Body) -> str:
    shown = repr(dict(body))
    return shown if len(shown) < 160 else f"{shown[:150]}…"


for _rule in RULES:
    _method = _rule.method.rpartition("/")[2]
    enter(
        Check(
            f"rules.{_method}.{_rule.of}",
            f"{_method}: {_rule.of}: {_rule.says}",
            f"rules of {_rule.method if '/' in _rule.method else f'{AGENTS}/{_rule.method}'}",
            partial(look, _rule),
        )
    )
