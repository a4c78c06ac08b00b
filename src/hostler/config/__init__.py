"""Settings from hostler.toml and HOSTLER_* variables, typed, checked once at start-up.

A variable wins over the file, an option of the command line over both. Nested names are joined by two underscores:
HOSTLER_SERVER__PORT=9000.
"""

import os
import re
import tomllib
import uuid
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from hostler.config.agents import AgentSection
from hostler.config.section import Section
from hostler.core.devcontainer import may_set
from hostler.core.mcp_servers import TIMEOUT, BadServer, McpServer, checked
from hostler.core.outside import Accounts
from hostler.core.roles import Role
from hostler.datafolder import default_data_folder

CODEX = "00000000-0000-0000-0000-000000007800"
GIB = 1 << 30
REGISTRIES = (
    "pypi.org",
    "files.pythonhosted.org",
    "registry.npmjs.org",
    "registry.yarnpkg.com",
    "deb.debian.org",
    "security.debian.org",
    "archive.ubuntu.com",
    "security.ubuntu.com",
    "proxy.golang.org",
    "sum.golang.org",
    "crates.io",
    "static.crates.io",
    "index.crates.io",
    "rubygems.org",
    "repo.maven.apache.org",
)
"""The package registries that an environment may reach unless the configuration says otherwise."""


PUBLIC_URL = re.compile(r"https?://[^/?#@\s]+/?")


class BadConfiguration(Exception):
    """The configuration cannot be used."""


class Server(Section):
    """Where the API is served."""

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    public_url: str = ""
    peer_url: str = ""
    """Where other processes on the same database reach this one; empty: where it listens."""
    name: str = ""
    """What this machine is called among others; empty: its host name."""
    lease_seconds: float = Field(20, ge=2, le=600)

    @field_validator("public_url", "peer_url")
    @classmethod
    def _plain(cls, value: str) -> str:
        if value and not PUBLIC_URL.fullmatch(value):
            raise ValueError("http:// or https:// with a host is needed, such as https://hostler.example, and no path")
        return value


class McpSection(Section):
    """An MCP server: a command that runs inside environments, or a URL that is reached by their egress rules."""

    name: str = ""
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    working_dir: str = "."
    url: str = ""
    headers: Mapping[str, str] = {}
    timeout: float = TIMEOUT
    tool_deny_list: tuple[str, ...] = ()
    disabled: bool = False

    def server(self, key: str) -> McpServer:
        """Return it as a value; raises BadServer."""
        return checked(
            McpServer(
                key,
                self.name,
                self.command,
                self.args,
                self.env,
                self.working_dir,
                self.url,
                self.headers,
                self.timeout,
                self.tool_deny_list,
                self.disabled,
            )
        )


class PriceSection(Section):
    """US dollars a million tokens, by kind."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached_input: float = Field(0, ge=0)
    cache_creation: float = Field(0, ge=0)


class ModelSection(Section):
    """What is known of a model beyond what its provider's library knows."""

    context_window: int = Field(0, ge=0)
    vision: bool = True
    base_url: str = ""
    api_key: str = ""
    price: PriceSection | None = None


class ForgeSection(Section):
    """Which API a code host has, where its name does not say."""

    kind: Literal["github", "gitlab"]
    api: str = ""


class ApprovalsSection(Section):
    """How calls are approved that need a person's word."""

    deadline_minutes: float = Field(60, gt=0, le=525_600)
    """After which a call is denied."""


class PolicySection(Section):
    """What holds for every agent, whoever starts it."""

    denied_commands: tuple[str, ...] = ()
    """Patterns, matched word by word; `*` stands for any words."""

    @field_validator("denied_commands")
    @classmethod
    def _said(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(pattern.strip() for pattern in value):
            raise ValueError("an empty pattern denies nothing; leave it out")
        return value


class RatesSection(Section):
    """Requests a minute; 0 is any number. A whole minute's may come at once."""

    caller: int = Field(60_000, ge=0)
    address: int = Field(6_000, ge=0)
    """Of one address without a credential that is known to be good."""
    attempts: int = Field(60, ge=0)
    """Of one address, with a credential that is not good."""


class RetentionSection(Section):
    """For how many days things are kept; 0 is for ever. What is expired is kept a while, so that people see why."""

    executions_days: float = Field(0, ge=0)
    """Executions that neither ran nor changed."""
    environment_log_days: float = Field(0, ge=0)
    """Logs of environments that are stopped."""
    usage_days: float = Field(0, ge=0)
    """What executions that are gone had used."""
    expired_days: float = Field(30, gt=0)
    """Tokens, shares and credentials after they expired."""
    setup_cache_days: float = Field(30, gt=0)
    """What setup commands made, since it was used last."""


class TelemetrySection(Section):
    """Traces and metrics by OpenTelemetry, where the extra `otel` is installed."""

    endpoint: str = ""
    """Of OTLP over HTTP, such as http://127.0.0.1:4318; empty: what OTEL_EXPORTER_OTLP_ENDPOINT says, else off."""
    headers: Mapping[str, str] = {}
    seconds: float = Field(60, gt=0)
    """Between two exports of metrics."""

    @field_validator("endpoint")
    @classmethod
    def _http(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("http:// or https:// is needed, such as http://127.0.0.1:4318")
        return value.rstrip("/")


class AccountsSection(Section):
    """What becomes of those whom somebody else's sign-in brings."""

    create: bool = True
    role: Role = "run"
    domains: tuple[str, ...] = ()

    @property
    def accounts(self) -> Accounts:
        """Return it as a value."""
        return Accounts(self.create, self.role, tuple(one.lower().removeprefix("@") for one in self.domains))


class OidcSection(AccountsSection):
    """Signing in with OpenID Connect; off without an issuer."""

    issuer: str = ""
    client_id: str = ""
    client_secret: str = ""
    name: str = ""
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    role_claim: str = ""
    roles: Mapping[str, Role] = {}

    @property
    def accounts(self) -> Accounts:
        """Return it as a value."""
        return replace(super().accounts, role_claim=self.role_claim, roles=self.roles)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.role_claim) != bool(self.roles):
            raise ValueError("role_claim and roles belong together")
        if not self.issuer:
            return self
        if not self.client_id or not self.client_secret:
            raise ValueError("client_id and client_secret are needed")
        local = urlsplit(self.issuer).hostname in ("127.0.0.1", "localhost", "::1")
        if not self.issuer.startswith("https://") and not (local and self.issuer.startswith("http://")):
            raise ValueError("issuer: https:// is needed")
        return self


class ProxySection(AccountsSection):
    """Believing a proxy in front of the server; off without a header."""

    header: str = ""
    addresses: tuple[IPv4Network | IPv6Network, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.header and not self.addresses:
            raise ValueError("addresses: those of the proxies that are believed are needed")
        if self.header.lower() in ("authorization", "cookie", "host", "origin"):
            raise ValueError("header: this one has a meaning of its own")
        return self


class SignInSection(Section):
    """Signing in beside tokens."""

    oidc: OidcSection = OidcSection()
    proxy: ProxySection = ProxySection()


class ClassSection(Section):
    """A size of environment."""

    id: str
    name: str
    description: str = ""
    cpus: float = Field(2, gt=0)
    memory_gib: float = Field(4, gt=0)
    disk_gib: float = Field(10, gt=0)
    processes: int = Field(512, ge=16)
    idle_minutes: float = Field(30, gt=0)
    allow: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    variables: Mapping[str, str] = {}

    @field_validator("variables")
    @classmethod
    def _settable(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        if bad := [name for name, text in value.items() if not may_set(name) or "\0" in text]:
            raise ValueError(f"{', '.join(bad)} cannot be set")
        return value


def _class(number: int, name: str, cpus: float, memory: float) -> ClassSection:
    text = f"{cpus:g} CPU, {memory:g} GiB of memory"
    id_ = str(uuid.UUID(int=0x7200 + number))
    return ClassSection.model_validate(
        {"id": id_, "name": name, "description": text, "cpus": cpus, "memory_gib": memory}
    )


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(env_prefix="HOSTLER_", env_nested_delimiter="__", extra="forbid", frozen=True)

    server: Server = Server()  # pyright: ignore[reportCallIssue]
    sign_in: SignInSection = SignInSection()
    policy: PolicySection = PolicySection()
    approvals: ApprovalsSection = ApprovalsSection()  # pyright: ignore[reportCallIssue]
    rates: RatesSection = RatesSection()  # pyright: ignore[reportCallIssue]
    retention: RetentionSection = RetentionSection()  # pyright: ignore[reportCallIssue]
    telemetry: TelemetrySection = TelemetrySection()  # pyright: ignore[reportCallIssue]
    data_dir: str = ""
    database_url: str = ""
    model: str = ""
    allowed_models: tuple[str, ...] = ()
    agents: tuple[AgentSection, ...] = (AgentSection(),)  # pyright: ignore[reportCallIssue]
    models: Mapping[str, ModelSection] = {}
    mcp: Mapping[str, McpSection] = {}
    forges: Mapping[str, ForgeSection] = {}
    classes: tuple[ClassSection, ...] = (
        _class(1, "Small", 1, 2),
        _class(2, "Regular", 2, 4),
        _class(3, "Large", 4, 8),
    )
    default_class: str = "Regular"
    allow: tuple[str, ...] = REGISTRIES
    private_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    credential_required: Annotated[tuple[str, ...], NoDecode] = ()
    sandbox: Literal["bubblewrap", "none"] = "bubblewrap"
    slots: int = Field(0, ge=0)
    settle_seconds: float = Field(1.0, ge=0)
    secrets: tuple[str, ...] = ()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "text"] = "auto"
    audit_days: float = Field(365, gt=0)
    keep_days: float = Field(30, gt=0)
    keep_mib: int = Field(256, ge=1, le=4096)
    mirror_gib: int = Field(20, ge=0)
    setup_cache_gib: int = Field(10, ge=0)
    wait_hours: float = Field(24, gt=0, le=8760)
    idle_exit_minutes: float = Field(0, ge=0)

    @model_validator(mode="after")
    def _whole(self) -> "Settings":
        """Refuse what could only fail later."""
        for name, ids in (("agents", [a.id for a in self.agents]), ("classes", [c.id for c in self.classes])):
            if not ids:
                raise ValueError(f"{name}: there must be at least one")
            if len(ids) != len(set(ids)):
                raise ValueError(f"{name}: two have the same id")
        for key, section in self.mcp.items():
            try:
                section.server(key)
            except BadServer as fault:
                raise ValueError(f"mcp.{key}: {fault}") from None
        for agent in self.agents:
            if missing := [name for name in agent.mcp if name not in ("*", *self.mcp)]:
                raise ValueError(f"agents: mcp: there is no server {missing[0]!r}; there are {', '.join(self.mcp)}")
        names = [cls.name for cls in self.classes]
        if self.default_class not in names:
            raise ValueError(f"default_class: there is no class {self.default_class!r}; there are {', '.join(names)}")
        return self

    @field_validator("private_hosts", "credential_required", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, which is given as initial values."""
        return env_settings, init_settings

    @property
    def hidden(self) -> tuple[str, ...]:
        """Return the texts in the settings that are never shown."""
        return (*self.secrets, self.sign_in.oidc.client_secret)

    @property
    def home(self) -> Path:
        """Return the data folder, absolute."""
        return (Path(self.data_dir) if self.data_dir else default_data_folder()).expanduser().resolve()

    @property
    def database(self) -> str:
        """Return the database's URL; SQLite in the data folder when none is set."""
        return self.database_url or f"sqlite:///{self.home / 'hostler.db'}"

    @property
    def turn_slots(self) -> int:
        """Return how many turns run at once; sized from the machine unless set."""
        return self.slots or 32 * (os.cpu_count() or 1)


def load(file: Path | None = None, *, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings; raises BadConfiguration with every fault when they cannot be used.

    `overrides` are the options of the command line, by dotted name.
    """
    raw: dict[str, Any] = {}
    if file is not None:
        try:
            raw = tomllib.loads(file.read_text())
        except FileNotFoundError:
            raise BadConfiguration(f"{file}: there is no such file") from None
        except tomllib.TOMLDecodeError as error:
            raise BadConfiguration(f"{file}: {error}") from None
    try:
        settings = Settings(**raw)
        given = {key: value for key, value in (overrides or {}).items() if value is not None}
        return _overridden(settings, given) if given else settings
    except ValidationError as error:
        faults = "\n".join(f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BadConfiguration(f"{file or 'the environment'} cannot be used:\n{faults}") from None


def _overridden(settings: Settings, given: Mapping[str, Any]) -> Settings:
    top = {key: value for key, value in given.items() if "." not in key}
    server = {key.removeprefix("server."): value for key, value in given.items() if key.startswith("server.")}
    if server:
        top["server"] = Server.model_validate({**settings.server.model_dump(), **server})
    return settings.model_copy(update=top)
