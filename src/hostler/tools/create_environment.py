"""The tool that makes another environment for the people whom the agent works for."""

import uuid
from typing import Self

from pydantic import Field, model_validator

from hostler.core.errands import Errand
from hostler.core.errors import EnvironmentFailed, RequestError
from hostler.core.forge_events import EnvironmentCreated
from hostler.core.forges import ForgeError
from hostler.core.providers import RemoteRepository
from hostler.tools.tool import Answer, Arguments, Inside

SPACE = uuid.UUID("9b9f5d6a-2c0f-5f0e-8c53-7f5f0f6f8a11")
MOST = 5
"""Environments that one execution makes."""


class EnvironmentArguments(Arguments):
    """An environment: what is brought into it, and how large it is."""

    name: str = Field("", max_length=80)
    repository: str = Field("", max_length=2000, description="The https URL of a repository, or of a page about it.")
    project: str = Field("", max_length=100, description="The id of a project, instead of a repository.")
    environment_class: str = Field("", max_length=100, description="Name or id of a class; the default one otherwise.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        """Refuse two sources."""
        if self.repository and self.project:
            raise ValueError("name a repository or a project, not both")
        return self


class CreateEnvironment:
    """Makes an environment that belongs to the execution's creator; it stays when the execution goes."""

    name = "create_environment"
    description = (
        "Make another environment for the person you work for, with a repository or a project in it, or empty. It "
        "comes up by itself; you go on working in your own."
    )
    arguments = EnvironmentArguments
    inside = False

    async def go(self, arguments: EnvironmentArguments, errand: Errand, inside: Inside | None) -> Answer:
        """Make it once, named by the call."""
        services, made = errand.services, errand.state.forge.environments
        environment = str(uuid.uuid5(SPACE, f"{errand.execution}/{errand.call_id}"))
        if services.workshop is None or services.forges is None:
            return Answer("failed", "Environments cannot be made from here.")
        if len(made) >= MOST:
            return Answer("failed", f"You have made {MOST} environments already, and more are not allowed.")
        try:
            new = await services.workshop.asked(
                arguments.environment_class,
                arguments.repository,
                arguments.project,
                arguments.name,
                errand.state.begun.creator_id,
            )
            if isinstance(new.source, RemoteRepository):
                await services.forges.permitted(errand.state.environment.id, new.source.url)
            await services.workshop.make(environment, new, errand.execution)
        except (RequestError, ForgeError, EnvironmentFailed) as problem:
            return Answer("failed", f"No environment was made: {problem.message}")
        text = f"environment {environment} is being made"
        return Answer("ok", text, events=(EnvironmentCreated(errand.call_id, environment),))
