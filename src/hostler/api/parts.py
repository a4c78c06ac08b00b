"""What the API is made of: the ports it calls and the facts it tells, given by whoever wires the server."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hostler.api.operations import Operations
from hostler.api.support import NoSupport, Support
from hostler.core.admission import Shares, SignIns
from hostler.core.ambient import Ambient
from hostler.core.changes import Changes
from hostler.core.desk import AgentDefinitions, Desk, EnvironmentClass, EnvironmentDesk
from hostler.core.egress import HostDesk, NoHosts
from hostler.core.hosts import HostTokens, Logins
from hostler.core.mcp_servers import McpServer
from hostler.core.offers import Offers
from hostler.core.outside import Attempts, NoAttempts, Outside
from hostler.core.people import People
from hostler.core.policy import NoPolicies, NoUse, Policies, Using
from hostler.core.ports import Blobs, EnvironmentRows, Executions, Models, Tokens
from hostler.core.projects import Projects, ProjectUse
from hostler.core.prompts import Prompts
from hostler.core.redaction import Redactor
from hostler.core.retention import NoTidying, Tidying
from hostler.core.runners import GivingUp, NobodyAway, NoPeers, RunnerPeers
from hostler.core.spending import SpendingBook
from hostler.core.work import NoWork, WorkDesk


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the server takes work, and when not, why."""

    ready: bool
    reason: str = ""


def _always(_: str) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    """Everything that the API needs; the first environment class is the default one."""

    desk: Desk
    environments: EnvironmentDesk
    executions: Executions
    blobs: Blobs
    environment_rows: EnvironmentRows
    prompts: Prompts
    offers: Offers
    tokens: Tokens
    people: People
    projects: Projects
    project_use: ProjectUse
    host_tokens: HostTokens
    sign_ins: SignIns
    shares: Shares
    spending: SpendingBook
    logins: Logins
    agents: AgentDefinitions
    classes: Sequence[EnvironmentClass]
    models: Models
    redactor: Redactor
    ambient: Ambient
    signing_key: bytes
    organization_id: str
    runner_id: str
    version: str
    draining: Callable[[], bool]
    ready: Callable[[], Awaitable[Health]]
    """What /readyz answers."""
    doctor: Callable[[], Awaitable[Mapping[str, Any]]]
    """What is known of sandbox, database, models and clock; shown to authenticated callers."""
    model_allowed: Callable[[str], bool] = _always
    """Whether `hostler/model` may name a model."""
    outside: Outside = field(default_factory=Outside)
    """The ways in beside tokens."""
    attempts: Attempts = field(default_factory=NoAttempts)
    public_url: str = ""
    """Where clients reach the server, such as https://hostler.example; empty: as each request came."""
    loopback: bool = True
    """The server listens on loopback only, so its callers may name files of this machine."""
    work: WorkDesk = field(default_factory=NoWork)
    """Work that is kept outside its environment."""
    hosts: HostDesk = field(default_factory=NoHosts)
    """Which hosts environments may reach."""
    installation: str = ""
    """What all processes of one database have in common, for the names of cookies."""
    away: GivingUp = field(default_factory=NobodyAway)
    """Gives up what is held by a runner that is away."""
    peers: RunnerPeers = field(default_factory=NoPeers)
    """The other runners of the database."""
    changes: Changes | None = None
    """Every change of a row, so that answers can be remembered; None where others change rows too."""
    write_line: Callable[[str], None] | None = None
    """Writes a line of the server's log that is JSON already, soon and together with others; None: each on its own."""
    policies: Policies = field(default_factory=NoPolicies)
    """What the organization allows."""
    policing: Using = field(default_factory=NoUse)
    """What people have used of what they may."""
    operations: Operations = field(default_factory=Operations)
    """What operating the server needs."""
    tidying: Tidying = field(default_factory=NoTidying)
    """Lets go of what was kept for long enough."""
    support: Support = field(default_factory=NoSupport)
    """What a support bundle tells of the server."""
    html_export: Callable[[Any], AsyncGenerator[bytes]] | None = None
    """Writes an `export.Exported` as HTML; None where no pages are served."""
    mcp_servers: tuple[McpServer, ...] = ()
    """The MCP servers of the configuration."""
    credential_required: tuple[str, ...] = ()
    """Code hosts that serve nobody without a credential, as HOST or HOST:PORT."""
