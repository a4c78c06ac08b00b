"""Agents and environment classes as the settings define them."""

from collections.abc import Sequence
from dataclasses import replace

from hostler.config import GIB, AgentSection, Settings
from hostler.core.desk import AgentDefinition, EnvironmentClass
from hostler.core.errors import FailedPrecondition
from hostler.core.events import Agent, Limits
from hostler.core.ports import Models
from hostler.core.providers import Preflight
from hostler.tools.registry import INSIDE, TOOLS

DEMO = "scripted:demo"


def model_name(settings: Settings) -> str:
    """Return the model that agents use unless they name one: the configured one, else the scripted demonstration."""
    return settings.model or DEMO


class Definitions:
    """The agents of hostler.toml."""

    def __init__(self, settings: Settings, models: Models) -> None:
        self._models = models
        self._all = {section.id: _definition(section, settings, models) for section in settings.agents}

    def default(self) -> AgentDefinition:
        """Return the first agent."""
        return next(iter(self._all.values()))

    def get(self, agent_id: str) -> AgentDefinition | None:
        """Return an agent by id."""
        return self._all.get(agent_id)

    def all(self) -> Sequence[AgentDefinition]:
        """Return every agent, the default first."""
        return tuple(self._all.values())


def _definition(section: AgentSection, settings: Settings, models: Models) -> AgentDefinition:
    name = section.model or model_name(settings)
    limits = Limits(**section.limits.model_dump())
    agent = Agent(
        id=section.id,
        name=section.name,
        driver=section.driver,
        model=name,
        system_prompt=section.system_prompt,
        effort=section.effort,
        limits=limits,
        tools=tuple(TOOLS),
        tools_inside=INSIDE,
    )
    return AgentDefinition(_with_model(agent, models), section.description, section.initial_message)


def _with_model(agent: Agent, models: Models) -> Agent:
    """Return the agent with what is known of its model; one that cannot be used yet is found out at the start."""
    try:
        return models.get(agent.model).info.given_to(agent)
    except FailedPrecondition:
        return agent


def classes_of(settings: Settings) -> tuple[EnvironmentClass, ...]:
    """Return the environment classes, the default one first."""
    made = [
        EnvironmentClass(
            id=section.id,
            name=section.name,
            description=section.description,
            cpus=section.cpus,
            memory_bytes=int(section.memory_gib * GIB),
            disk_bytes=int(section.disk_gib * GIB),
            processes=section.processes,
            idle_seconds=section.idle_minutes * 60,
            allow=section.allow,
        )
        for section in settings.classes
    ]
    return tuple(sorted(made, key=lambda cls: cls.name != settings.default_class))


def truthful(classes: Sequence[EnvironmentClass], preflight: Preflight) -> tuple[EnvironmentClass, ...]:
    """Return the classes with what this machine cannot hold of them said in their descriptions."""
    weak = ", ".join(f"{one.limit} ({one.means})" for one in preflight.protections if not one.holds)
    if not weak:
        return tuple(classes)
    return tuple(replace(cls, description=f"{cls.description}; not held on this machine: {weak}") for cls in classes)
