"""Agents and environment classes as the settings define them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from hostler.agents.codex.settings import MODELS
from hostler.config import CODEX, GIB, Settings
from hostler.config.agents import AgentSection
from hostler.core.approvals_events import Permission
from hostler.core.desk import AgentDefinition, EnvironmentClass
from hostler.core.errors import FailedPrecondition
from hostler.core.events import Agent, Limits
from hostler.core.judging_events import Condition, OutputRule
from hostler.core.mcp_servers import McpServer
from hostler.core.outside import Outside, Provider, Proxy
from hostler.core.ports import Models
from hostler.core.providers import Preflight
from hostler.core.spending import Price
from hostler.models.settings import Override
from hostler.tools.registry import INSIDE, TOOLS

DEMO = "scripted:demo"


def model_name(settings: Settings) -> str:
    """Return the model that agents use unless they name one: the configured one, else the scripted demonstration."""
    return settings.model or DEMO


def stand_ins(settings: Settings) -> Mapping[str, str]:
    """Return the names of models that Codex may be asked for, each answered by the script that all agents use.

    Without a provider's key a client may still name a model of Codex, as the official examples do.
    """
    provider, _, script = model_name(settings).partition(":")
    return dict.fromkeys(MODELS.values(), script) if provider == "scripted" else {}


CODEX_MODEL = "openai-responses:gpt-5.5"
SPEAKS_RESPONSES = ("openai-responses:", "scripted:")
"""Beginnings of the models that Codex can be led to without being told so."""


class Definitions:
    """The agents of hostler.toml, and Codex where it is installed."""

    def __init__(self, settings: Settings, models: Models, missing: Callable[[str], str] = lambda driver: "") -> None:
        """Make the definitions; `missing` says what is to be done before a driver can be used."""
        self._models = models
        self._missing = missing
        self.become(settings)

    def become(self, settings: Settings) -> None:
        """Take the definitions from other settings; what was started already keeps those that it was started with."""
        models, missing = self._models, self._missing
        sections = [section for section in settings.agents if not missing(section.driver)]
        if not missing("codex") and all(section.driver != "codex" for section in settings.agents):
            sections.append(_codex(settings))
        self._all = {section.id: _definition(section, settings, models) for section in sections}
        absent = {section.id: missing(section.driver) for section in (*settings.agents, _codex(settings))}
        self._absent = {id_: text for id_, text in absent.items() if text}

    def default(self) -> AgentDefinition:
        """Return the first agent."""
        if not self._all:
            raise FailedPrecondition("; ".join(self._absent.values()), field="agent_id")
        return next(iter(self._all.values()))

    def get(self, agent_id: str) -> AgentDefinition | None:
        """Return an agent by id; FailedPrecondition says what is missing for one that is known and not installed."""
        if agent_id in self._absent:
            raise FailedPrecondition(self._absent[agent_id], field="agent_id")
        return self._all.get(agent_id)

    def all(self) -> Sequence[AgentDefinition]:
        """Return every agent, the default first."""
        return tuple(self._all.values())


def _codex(settings: Settings) -> AgentSection:
    """Return Codex as it is without a section of its own: with the usual model, if that one speaks its protocol.

    A script answers under the name of a model that Codex knows, so that it does not complain of a strange one.
    """
    usual = model_name(settings)
    if usual.startswith("scripted:"):
        usual = f"scripted:{CODEX_MODEL.partition(':')[2]}"
    return AgentSection(
        id=CODEX,
        name="codex",
        description="OpenAI's Codex, run inside the environment.",
        driver="codex",
        model=usual if usual.startswith(SPEAKS_RESPONSES) else CODEX_MODEL,
    )


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
        tools=tuple(TOOLS) if section.driver == "builtin" else (),
        tools_inside=INSIDE if section.driver == "builtin" else (),
        permissions=(*policy(settings), *(Permission(**one.model_dump()) for one in section.permissions)),
        approval_minutes=settings.approvals.deadline_minutes,
        judgement_prompt=section.judgement_prompt,
        judgement_model=section.judgement_model,
        conditions=tuple(Condition(**one.model_dump()) for one in section.conditions),
        requires=tuple(OutputRule(**one.model_dump()) for one in section.requires),
        prices={known: tuple(price) for known, price in prices(settings).items()},
        mcp=tuple(key for key in settings.mcp if key in section.mcp or "*" in section.mcp),
    )
    described = (section.description, section.initial_message, section.judgement_prompt)
    return AgentDefinition(_with_model(agent, models), *described)


def prices(settings: Settings) -> Mapping[str, Price]:
    """Return what models cost, where that is configured: dollars a million tokens."""
    priced = {name: one.price for name, one in settings.models.items() if one.price}
    return {name: Price(one.input, one.cached_input, one.cache_creation, one.output) for name, one in priced.items()}


def policy(settings: Settings) -> tuple[Permission, ...]:
    """Return the rules that come before those of any agent."""
    why = "denied here (policy.denied_commands)"
    return tuple(Permission("bash", "deny", pattern, why) for pattern in settings.policy.denied_commands)


def _with_model(agent: Agent, models: Models) -> Agent:
    """Return the agent with what is known of its model; one that cannot be used yet is found out at the start."""
    try:
        return models.get(agent.model).info.given_to(agent)
    except FailedPrecondition:
        return agent


def overrides(settings: Settings) -> dict[str, Override]:
    """Return what is configured of models, by their names."""
    return {
        name: Override(
            context_window=model.context_window, vision=model.vision, base_url=model.base_url, api_key=model.api_key
        )
        for name, model in settings.models.items()
    }


def mcp_servers(settings: Settings) -> Callable[[Sequence[str]], tuple[McpServer, ...]]:
    """Return what finds the configured MCP servers by their names."""
    servers = {key: section.server(key) for key, section in settings.mcp.items()}
    return lambda names: tuple(servers[name] for name in names if name in servers)


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
            setup=section.setup,
            variables=section.variables,
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


def ways_in(settings: Settings) -> Outside:
    """Return the ways to sign in beside tokens."""
    oidc, proxy = settings.sign_in.oidc, settings.sign_in.proxy
    provider = Provider(oidc.issuer, oidc.client_id, oidc.client_secret, oidc.name, oidc.scopes, accounts=oidc.accounts)
    believed = Proxy(proxy.header.lower(), proxy.addresses, proxy.accounts)
    return Outside(provider if oidc.issuer else None, believed if proxy.header else None)
