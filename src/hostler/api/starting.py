"""StartAgent: which agent, with which model and budget, on which code."""

import json
from dataclasses import replace
from hashlib import sha256

from hostler.api.call import current
from hostler.api.codec import to_json
from hostler.api.modes import check_start
from hostler.api.parts import ApiParts
from hostler.api.recipes import recipe
from hostler.api.settings import (
    MODEL,
    REQUIRES,
    check_annotations,
    check_codex,
    check_priced,
    with_limits,
)
from hostler.api.terms import required_outputs
from hostler.contract.gitpod.v1.agent_execution_pb import AgentCodeContext, PullRequest
from hostler.contract.gitpod.v1.agent_execution_requests_pb import StartAgentRequest
from hostler.core.context import checked, source_of
from hostler.core.desk import AgentDefinition, NewEnvironment, NewExecution
from hostler.core.errors import InvalidArgument, NotFound, Unavailable
from hostler.core.events import Agent
from hostler.core.ports import Idempotency
from hostler.core.providers import Scratch, Source

LONGEST_KEY = 256
"""Characters of an Idempotency-Key."""


def refuse_while_draining(parts: ApiParts) -> None:
    """Raise Unavailable when the server is stopping."""
    if parts.draining():
        raise Unavailable("the server is stopping and takes no new work", retry_after=5.0)


def class_named(parts: ApiParts, class_id: str, field: str) -> str:
    """Return the id of an environment class, the default one for an empty id; NotFound names the field."""
    if not class_id:
        return parts.classes[0].id
    if class_id not in (cls.id for cls in parts.classes):
        raise NotFound("there is no such environment class", field=field)
    return class_id


class Starting:
    """Turns a request into a new execution."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    async def start(self, request: StartAgentRequest, idempotency_key: str) -> str:
        """Start an execution and return its id; everything that is wrong with the request is said at once."""
        refuse_while_draining(self._parts)
        if request.runner_id and request.runner_id.lower() != self._parts.runner_id:
            raise NotFound("there is no such runner", field="runner_id")
        definition = self._definition(request.agent_id)
        check_start(request.mode, request.turn_options, definition.agent)
        check_annotations(request.annotations, "annotations")
        body = to_json(request)
        new = NewExecution(
            request=self._parts.redactor.json(body),
            agent=self._agent(definition, request),
            environment=await self._environment(request),
            creator=current().principal,
            session_id=request.session_id,
            name=self._parts.redactor.text(request.name),
            first_input=definition.initial_message,
            once=_once(idempotency_key, body),
        )
        return await self._parts.desk.start(new)

    def _definition(self, agent_id: str) -> AgentDefinition:
        if not agent_id:
            return self._parts.agents.default()
        definition = self._parts.agents.get(agent_id.lower())
        if definition is None:
            raise NotFound("there is no such agent", field="agent_id")
        return definition

    def _agent(self, definition: AgentDefinition, request: StartAgentRequest) -> Agent:
        """Return the agent with this execution's model and limits; FailedPrecondition when the model has no key."""
        agent = with_limits(definition.agent, request.annotations)
        if text := request.annotations.get(REQUIRES):
            agent = replace(agent, requires=required_outputs(text, f"annotations[{REQUIRES}]"))
        if (name := request.annotations.get(MODEL)) and not self._parts.model_allowed(name):
            raise InvalidArgument(f"model {name!r} is not allowed here", field=f"annotations[{MODEL}]")
        agent = replace(agent, model=name or agent.model)
        chosen = check_codex(request.codex_settings, agent, self._parts.models, self._parts.model_allowed)
        if chosen and name and chosen != name:
            raise InvalidArgument(f"annotations[{MODEL}] names another model", field="codex_settings.model")
        agent = self._parts.models.get(chosen or agent.model).info.given_to(agent)
        check_priced(agent)
        return agent

    async def _environment(self, request: StartAgentRequest) -> NewEnvironment | str:
        """Return what the execution works in: an environment by id, or one to be made."""
        context = request.code_context or AgentCodeContext()
        class_id = ""
        match context.context:
            case None:
                source = self._of_pull_request(context.pull_request) if context.pull_request else Scratch()
            case oneof if oneof.field == "environment_id":
                return str(oneof.value).lower()
            case oneof if oneof.field == "context_url":
                class_id = oneof.value.environment_class_id
                head = _head(context.pull_request)
                source = source_of(oneof.value.url, local=self._parts.loopback, head=head)
            case oneof:
                return await self._of_project(str(oneof.value), request)
        class_id = class_named(self._parts, class_id, "code_context.context_url.environment_class_id")
        return NewEnvironment(class_id, source, name=self._parts.redactor.text(request.name)[:80])

    async def _of_project(self, project_id: str, request: StartAgentRequest) -> NewEnvironment:
        """Return an environment as the project says; the head of a pull request wins over the project's branch."""
        pull = request.code_context.pull_request if request.code_context else None
        found = await recipe(self._parts, project_id, field="code_context.project_id", head=_head(pull))
        name = self._parts.redactor.text(request.name)[:80] or found.project.name
        return NewEnvironment(
            found.class_id,
            found.source,
            name=name,
            project_id=found.project.id,
            setup=found.setup,
            devcontainer=found.devcontainer,
        )

    def _of_pull_request(self, pull: PullRequest) -> Source:
        """Return the code of a pull request that stands alone."""
        clone = pull.repository.clone_url if pull.repository else ""
        if not clone and not pull.url:
            field = "code_context.pull_request.repository.clone_url"
            raise InvalidArgument("a pull request without a repository and without a URL names no code", field=field)
        field = "code_context.pull_request." + ("repository.clone_url" if clone else "url")
        source = source_of(clone or pull.url, local=self._parts.loopback, head=_head(pull), field=field)
        if pull.from_branch and source.ref and source.ref != pull.from_branch:
            return replace(source, branch=checked(pull.from_branch, "code_context.pull_request.from_branch"))
        return source


def _head(pull: PullRequest | None) -> str:
    return (pull.from_branch or pull.head_sha) if pull else ""


def _once(key: str, body: dict[str, object]) -> Idempotency | None:
    if not key:
        return None
    if len(key) > LONGEST_KEY:
        raise InvalidArgument(f"at most {LONGEST_KEY} characters are accepted", field="Idempotency-Key")
    digest = sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return Idempotency(current().principal.id, key, digest)
