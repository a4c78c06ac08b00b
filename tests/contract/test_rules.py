"""The validation rules of the contract act on the generated messages."""

import importlib
import pkgutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import protovalidate
import pytest
from protobuf import DescMessage, Message, Oneof
from protobuf.wkt import Duration, Timestamp

from hostler import contract
from hostler.contract.gitpod.v1 import (
    agent_execution_pb,
    agent_execution_requests_pb,
    agent_input_pb,
    agent_settings_pb,
    environment_class_pb,
    environment_pb,
    environment_spec_pb,
    event_pb,
    pagination_pb,
    project_pb,
    prompt_pb,
    runner_configuration_pb,
    runner_pb,
    usage_pb,
)
from hostler.contract.supervisor.v1 import environment_ops_pb

ID = "0190b5a1-7a1c-7000-8000-0123456789ab"
CODEX = "00000000-0000-0000-0000-000000007800"
Start = agent_execution_requests_pb.StartAgentRequest
Send = agent_execution_requests_pb.SendToAgentExecutionRequest
Block = agent_input_pb.UserInputBlock
Context = agent_execution_pb.AgentCodeContext
Spec = environment_spec_pb.EnvironmentSpec
Mode = agent_settings_pb.AgentMode
Model = agent_settings_pb.CodexOpenAIModel
ENVIRONMENTS = event_pb.WatchEventsRequest.ResourceTypeFilter(resource_type=event_pb.ResourceType.ENVIRONMENT)


def text(content: str) -> Block.Input:
    return Block.Input(input=Oneof("text", Block.TextInput(content=content)))


def image(data: bytes, mime_type: str) -> Block.Input:
    return Block.Input(input=Oneof("image", Block.ImageInput(data=data, mime_type=mime_type)))


def send(*inputs: Block.Input) -> Send:
    return Send(agent_execution_id=ID, input=Oneof("user_input", Block(inputs=list(inputs))))


def in_context(url: str, environment_class_id: str = "") -> Start:
    context_url = Context.ContextURL(url=url, environment_class_id=environment_class_id)
    return Start(code_context=Context(context=Oneof("context_url", context_url)))


def idle(seconds: int) -> environment_pb.CreateEnvironmentRequest:
    timeout = Spec.Timeout(disconnected=Duration.from_timedelta(timedelta(seconds=seconds)))
    return environment_pb.CreateEnvironmentRequest(spec=Spec(timeout=timeout))


def broken(message: Message) -> list[tuple[str, str]]:
    """Lists field path and rule of each violation."""
    found = [violation.proto for violation in protovalidate.collect_violations(message)]
    return [(".".join(e.field_name for e in v.field.elements) if v.field else "", v.rule_id) for v in found]


REFUSED = [
    (Start(agent_id="seven"), "agent_id", "string.uuid"),
    (Start(name="n" * 101), "name", "string.max_len"),
    (Start(session_id="x"), "session_id", "string.uuid"),
    (
        Start(codex_settings=agent_settings_pb.CodexSettings(model=Model(99))),
        "codex_settings.model",
        "enum.defined_only",
    ),
    (
        Start(turn_options=agent_settings_pb.TurnOptions(modes=[Mode.PLANNING] * 5)),
        "turn_options.modes",
        "repeated.max_items",
    ),
    (in_context("git@host:owner/repo"), "code_context.context_url.url", "string.uri"),
    (in_context("https://host/a/b", "small"), "code_context.context_url.environment_class_id", "string.uuid"),
    (Send(agent_execution_id=""), "agent_execution_id", "string.uuid_empty"),
    (send(*[text("x")] * 11), "user_input.inputs", "repeated.max_items"),
    (send(text("")), "user_input.inputs.text.content", "string.min_len"),
    (send(Block.Input()), "user_input.inputs.input", "required"),
    (send(image(b"x" * 4_194_305, "image/png")), "user_input.inputs.image.data", "bytes.max_len"),
    (send(image(b"x", "image/gif")), "user_input.inputs.image.mime_type", "string.in"),
    (prompt_pb.CreatePromptRequest(name="n", description="d", prompt="p" * 20_001), "prompt", "string.max_len"),
    (prompt_pb.CreatePromptRequest(name="n", description="d", prompt="p", command="a b"), "command", "string.pattern"),
    (pagination_pb.PaginationRequest(page_size=101), "page_size", "int32.gte_lte"),
    (idle(60), "spec.timeout.disconnected", "disconnected_timeout"),
    (project_pb.CreateProjectRequest(name="n"), "initializer", "required"),
    (
        event_pb.WatchEventsRequest(
            scope=Oneof("organization", True),
            resource_type_filters=[ENVIRONMENTS] * 51,
        ),
        "resource_type_filters",
        "repeated.max_items",
    ),
]

ACCEPTED = [
    Start(),
    Start(agent_id=CODEX, name="é" * 100, session_id="", runner_id=""),
    in_context("https://host/owner/repo"),
    in_context("https://host/owner/repo", ID),
    send(*[text("x")] * 10),
    send(image(b"\x89PNG", "image/png")),
    Send(
        agent_execution_id=ID,
        input=Oneof("user_input", Block(id=ID, input=Oneof("text", Block.TextInput(content="x")))),
    ),
    pagination_pb.PaginationRequest(page_size=100),
    idle(0),
    idle(1800),
    # What the official client's own workflows send.
    runner_pb.ParseContextURLRequest(context_url="https://host/owner/repo"),
    runner_pb.CheckAuthenticationForHostRequest(runner_id=ID, host="host:8443"),
    runner_configuration_pb.GetEnvironmentClassRequest(environment_class_id=ID),
    environment_class_pb.ListEnvironmentClassesRequest(
        pagination=pagination_pb.PaginationRequest(page_size=100),
        filter=environment_class_pb.ListEnvironmentClassesRequest.Filter(enabled=True, can_create_environments=True),
    ),
    environment_pb.CreateEnvironmentRequest(
        name="n",
        spec=Spec(
            desired_phase=environment_spec_pb.EnvironmentPhase.RUNNING,
            machine=Spec.Machine(class_=ID),
            content=Spec.Content(
                initializer=environment_spec_pb.EnvironmentInitializer(
                    specs=[
                        environment_spec_pb.EnvironmentInitializer.Spec(
                            spec=Oneof(
                                "context_url", environment_spec_pb.ContextURLInitializer(url="https://host/owner/repo")
                            )
                        )
                    ]
                )
            ),
        ),
    ),
    event_pb.WatchEventsRequest(scope=Oneof("organization", True), resource_type_filters=[ENVIRONMENTS]),
    usage_pb.GetTopProjectsRequest(
        date_range=pagination_pb.DateRange(
            start_time=Timestamp.from_datetime(datetime(2026, 1, 1, tzinfo=UTC)),
            end_time=Timestamp.from_datetime(datetime(2026, 4, 1, tzinfo=UTC)),
        )
    ),
    environment_ops_pb.ExecRequest(operation_id=ID, command="true"),
]


@pytest.mark.parametrize(("message", "path", "rule"), REFUSED, ids=[f"{path}-{rule}" for _, path, rule in REFUSED])
def test_what_breaks_a_rule_is_refused_with_the_field_and_the_rule(message: Message, path: str, rule: str) -> None:
    assert broken(message) == [(path, rule)]


@pytest.mark.parametrize("message", ACCEPTED, ids=[f"{i}-{type(m).__name__}" for i, m in enumerate(ACCEPTED)])
def test_what_official_clients_send_is_accepted(message: Message) -> None:
    assert broken(message) == []


def messages_within(desc: DescMessage) -> Iterator[DescMessage]:
    yield desc
    for nested in desc.nested_messages:
        yield from messages_within(nested)


def test_the_rules_of_every_message_compile() -> None:
    checked = 0
    for info in pkgutil.walk_packages(contract.__path__, contract.__name__ + "."):
        if info.name.endswith("_pb"):
            for top in importlib.import_module(info.name).desc().messages:
                for desc in messages_within(top):
                    protovalidate.collect_violations(desc.type())
                    checked += 1
    assert checked > 300
