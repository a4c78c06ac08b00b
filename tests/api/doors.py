"""Who may use what is served: each route and method with its door, and what each door says to each credential.

A new route or method needs a line in ROWS; a new kind of door a line in DOORS.
"""

from collections.abc import Mapping
from typing import Literal

Outcome = Literal["allowed", "unauthenticated", "permission_denied", "not_found"]
Door = Mapping[str, Outcome]
"""What is said to each credential; to those that are not named: unauthenticated."""

FULL = ("owner", "somebody else", "signed in")
"""Credentials of people without bounds."""
ADMINS = ("owner", "signed in")
READERS = ("reader", "reader signed in")
THIS_SHARES = ("view share", "send share")
OTHER_CONVERSATION = "conversation token of another execution"
OTHER_ENVIRONMENT = "environment token of another environment"
OTHER_LOGS = "logs token of another environment"


def door(
    allowed: tuple[str, ...] = (), denied: tuple[str, ...] = (), not_found: tuple[str, ...] = ()
) -> dict[str, Outcome]:
    """Return a door by the credentials that it says something else to than unauthenticated."""
    outcomes: dict[str, Outcome] = dict.fromkeys(allowed, "allowed")
    outcomes |= dict.fromkeys(denied, "permission_denied")
    outcomes |= dict.fromkeys(not_found, "not_found")
    return outcomes


QUERY = "owner's token in the query"
CONVERSATION = ("conversation token",)
ENVIRONMENT = ("environment token",)
DOORS: Mapping[str, Door] = {
    # RPCs, and what is bound to no execution and no environment.
    "reads": door((*FULL, *READERS)),
    "changes": door(FULL, READERS),
    "administers": door(ADMINS, ("somebody else", *READERS)),
    "changes, its own": door(ADMINS, READERS, ("somebody else",)),
    # A link signs in whoever opens it, so only an API token makes one; it reaches no further than the token.
    "makes a link": door(("owner", "somebody else", "reader"), ("signed in", "reader signed in")),
    # RPCs that a conversation token is good for.
    "rpc: converses, reads": door((*FULL, *READERS, *CONVERSATION), (), (OTHER_CONVERSATION,)),
    "rpc: converses, sends": door((*FULL, *CONVERSATION), READERS, (OTHER_CONVERSATION,)),
    # Operations in an environment.
    "rpc: inside, reads": door((*FULL, *READERS, *ENVIRONMENT), (), (OTHER_ENVIRONMENT,)),
    "rpc: inside, changes": door((*FULL, *ENVIRONMENT), READERS, (OTHER_ENVIRONMENT,)),
    # One execution, beside the RPCs.
    "see": door((*FULL, *READERS, QUERY, *CONVERSATION, *THIS_SHARES), (), (OTHER_CONVERSATION,)),
    "inspect": door((*FULL, *READERS, QUERY, *CONVERSATION), THIS_SHARES, (OTHER_CONVERSATION,)),
    "inspect, its own": door(
        (*ADMINS, QUERY), ("somebody else", *READERS, *CONVERSATION, *THIS_SHARES), (OTHER_CONVERSATION,)
    ),
    "send": door((*FULL, *CONVERSATION, "send share"), (*READERS, "view share"), (OTHER_CONVERSATION,)),
    "control": door(FULL, (*READERS, *CONVERSATION, *THIS_SHARES), (OTHER_CONVERSATION,)),
    # One environment, beside the RPCs.
    "inside, changes": door((*FULL, *ENVIRONMENT), READERS, (OTHER_ENVIRONMENT,)),
    "logs": door((*FULL, *READERS, QUERY, "logs token", *ENVIRONMENT), (), (OTHER_LOGS, OTHER_ENVIRONMENT)),
    # A WebSocket has two answers only: it is accepted, or it is not.
    "socket": door((*FULL, *ENVIRONMENT), READERS, (OTHER_ENVIRONMENT,)),
    # To everybody, whatever he brings.
    "open": {},
    # What takes a secret in its own way: a form, or the address itself.
    "lets in": {},
}
AGENT = "POST /api/gitpod.v1.AgentService"
EVENT = "POST /api/gitpod.v1.EventService"
IDENTITY = "POST /api/gitpod.v1.IdentityService"
ENVIRONMENTS = "POST /api/gitpod.v1.EnvironmentService"
PROJECT = "POST /api/gitpod.v1.ProjectService"
RUNNER = "POST /api/gitpod.v1.RunnerService"
CONFIGURATION = "POST /api/gitpod.v1.RunnerConfigurationService"
USER = "POST /api/gitpod.v1.UserService"
SERVICE_ACCOUNT = "POST /api/gitpod.v1.ServiceAccountService"
USAGE = "POST /api/gitpod.v1.UsageService"
OPS = "POST /api/environments/{environment}/ops/supervisor.v1.EnvironmentOpsService"
HOUSE = "/api/hostler/v1"
ONE = f"{HOUSE}/executions/{{execution}}"
PAGE = "GET /executions/{execution}"

ROWS: Mapping[str, str] = {
    "GET /healthz": "open",
    "GET /readyz": "open",
    "GET /static/{version}": "open",
    "GET /xterm/{name}": "open",
    "ANY /{path:path}": "open",
    "GET /sign-in": "lets in",
    "GET /sign-in/start": "lets in",
    "GET /sign-in/callback": "lets in",
    "POST /sign-in": "lets in",
    "POST /sign-out": "lets in",
    "GET /open/{code}": "lets in",
    "GET /s/{code}": "lets in",
    # One execution.
    "GET /api/executions/{execution}/live": "see",
    "GET /api/executions/{execution}/history": "see",
    "GET /api/executions/{execution}/blobs/{sha256}": "see",
    "GET /api/executions/{execution}/export": "see",
    "GET /api/executions/{execution}/transcript": "inspect",
    "GET /api/executions/{execution}/bundle": "inspect, its own",
    f"POST {ONE}/inputs": "send",
    f"GET {ONE}/shares": "inspect",
    f"POST {ONE}/shares": "control",
    f"DELETE {ONE}/shares/{{share}}": "control",
    "GET /people": "administers",
    f"{PAGE}": "see",
    f"{PAGE}/events": "see",
    f"{PAGE}/panel": "see",
    f"{PAGE}/earlier": "see",
    f"{PAGE}/tail": "see",
    f"{PAGE}/items/{{item}}": "see",
    f"{PAGE}/items/{{item}}/images/{{number:int}}": "see",
    f"{PAGE}/changes": "inspect",
    f"GET {ONE}": "reads",
    f"GET {ONE}/log": "reads",
    f"GET {ONE}/calls": "reads",
    f"GET {ONE}/replay": "reads",
    f"GET {ONE}/receipts": "reads",
    f"GET {ONE}/check": "administers",
    f"GET {ONE}/queue": "reads",
    f"GET {ONE}/diff": "reads",
    f"POST {ONE}/queue/{{input}}/edit": "changes",
    f"POST {ONE}/applied": "changes",
    f"POST {ONE}/restore": "changes",
    # One environment.
    "GET /api/environments/{environment}/logs": "logs",
    f"POST {HOUSE}/environments/{{environment}}/exec": "inside, changes",
    f"POST {HOUSE}/environments/{{environment}}/exec/{{operation}}/input": "inside, changes",
    "WEBSOCKET /environments/{environment}/terminals/{terminal}/socket": "socket",
    f"GET {HOUSE}/environments/{{environment}}/hosts": "reads",
    f"POST {HOUSE}/environments/{{environment}}/hosts": "changes",
    f"DELETE {HOUSE}/environments/{{environment}}/hosts/{{host}}": "changes",
    f"GET {HOUSE}/environments/{{environment}}/work": "reads",
    "GET /environments/{environment}": "reads",
    # All the rest. A scraper on the same machine needs no token for the metrics; here the request is from elsewhere.
    "GET /metrics": "reads",
    f"GET {HOUSE}/info": "reads",
    f"GET {HOUSE}/doctor": "administers",
    f"GET {HOUSE}/resolve": "reads",
    f"GET {HOUSE}/tokens": "reads",
    f"POST {HOUSE}/tokens": "changes",
    f"DELETE {HOUSE}/tokens/{{token}}": "changes, its own",
    f"POST {HOUSE}/links": "makes a link",
    f"GET {HOUSE}/policy": "reads",
    f"GET {HOUSE}/policy/versions": "administers",
    f"GET {HOUSE}/policy/caps": "reads",
    f"PATCH {HOUSE}/policy": "administers",
    f"GET {HOUSE}/users": "administers",
    f"POST {HOUSE}/users": "administers",
    f"GET {HOUSE}/users/{{account}}": "administers",
    f"PATCH {HOUSE}/users/{{account}}": "administers",
    f"DELETE {HOUSE}/users/{{account}}": "administers",
    f"GET {HOUSE}/service-accounts": "administers",
    f"POST {HOUSE}/service-accounts": "administers",
    f"GET {HOUSE}/service-accounts/{{account}}": "administers",
    f"PATCH {HOUSE}/service-accounts/{{account}}": "administers",
    f"DELETE {HOUSE}/service-accounts/{{account}}": "administers",
    f"GET {HOUSE}/maintenance": "reads",
    f"PUT {HOUSE}/maintenance": "administers",
    f"POST {HOUSE}/gc": "administers",
    f"DELETE {HOUSE}/maintenance": "administers",
    f"DELETE {HOUSE}/runners/{{runner}}": "administers",
    f"POST {HOUSE}/reload": "administers",
    f"GET {HOUSE}/audit": "administers",
    f"GET {HOUSE}/webhooks": "administers",
    f"POST {HOUSE}/webhooks": "administers",
    f"DELETE {HOUSE}/webhooks/{{webhook}}": "administers",
    f"GET {HOUSE}/webhooks/{{webhook}}/deliveries": "administers",
    f"POST {HOUSE}/webhooks/{{webhook}}/enable": "administers",
    f"POST {HOUSE}/webhooks/{{webhook}}/test": "administers",
    f"POST {HOUSE}/environments/{{environment}}/lost": "administers",
    f"GET {HOUSE}/executions": "reads",
    f"POST {HOUSE}/environments": "changes",
    f"GET {HOUSE}/environment-classes/{{class}}/hosts": "reads",
    f"POST {HOUSE}/environment-classes/{{class}}/hosts": "administers",
    f"DELETE {HOUSE}/environment-classes/{{class}}/hosts/{{host}}": "administers",
    "GET /": "reads",
    "GET /environments": "reads",
    "GET /prompts": "reads",
    "GET /prompts/new": "reads",
    "GET /prompts/{prompt}": "reads",
    "GET /usage": "reads",
    # The contract's methods.
    f"{AGENT}/ListAgents": "reads",
    f"{AGENT}/GetAgent": "reads",
    f"{AGENT}/StartAgent": "changes",
    f"{AGENT}/ListAgentExecutions": "reads",
    f"{AGENT}/GetAgentExecution": "rpc: converses, reads",
    f"{AGENT}/DeleteAgentExecution": "changes",
    f"{AGENT}/SendToAgentExecution": "rpc: converses, sends",
    f"{AGENT}/CreateAgentExecutionConversationToken": "changes",
    f"{AGENT}/StopAgentExecution": "changes",
    f"{AGENT}/UpdateAgentExecution": "changes",
    f"{AGENT}/ReportAgentExecutionOutputs": "changes",
    f"{AGENT}/ImprovePromptForAgent": "changes",
    f"{AGENT}/ListMCPIntegrations": "reads",
    f"{AGENT}/ListPrompts": "reads",
    f"{AGENT}/GetPrompt": "reads",
    f"{AGENT}/CreatePrompt": "changes",
    f"{AGENT}/UpdatePrompt": "changes",
    f"{AGENT}/DeletePrompt": "changes",
    f"{EVENT}/WatchEvents": "reads",
    f"{EVENT}/ListAuditLogs": "administers",
    f"{IDENTITY}/GetAuthenticatedIdentity": "reads",
    f"{ENVIRONMENTS}/GetEnvironment": "reads",
    f"{ENVIRONMENTS}/ListEnvironments": "reads",
    f"{ENVIRONMENTS}/ListEnvironmentClasses": "reads",
    f"{ENVIRONMENTS}/CreateEnvironment": "changes",
    f"{ENVIRONMENTS}/CreateEnvironmentFromProject": "changes",
    f"{ENVIRONMENTS}/StartEnvironment": "changes",
    f"{ENVIRONMENTS}/StopEnvironment": "changes",
    f"{ENVIRONMENTS}/DeleteEnvironment": "changes",
    f"{ENVIRONMENTS}/CreateEnvironmentAccessToken": "changes",
    f"{ENVIRONMENTS}/UpdateEnvironment": "changes",
    f"{ENVIRONMENTS}/CreateEnvironmentLogsToken": "changes",
    f"{ENVIRONMENTS}/MarkEnvironmentActive": "changes",
    f"{ENVIRONMENTS}/UnarchiveEnvironment": "changes",
    f"{ENVIRONMENTS}/ArchiveEnvironment": "changes",
    f"{PROJECT}/CreateProject": "changes",
    f"{PROJECT}/GetProject": "reads",
    f"{PROJECT}/UpdateProject": "changes",
    f"{PROJECT}/ListProjects": "reads",
    f"{PROJECT}/DeleteProject": "changes",
    f"{PROJECT}/ListProjectEnvironmentClasses": "reads",
    f"{PROJECT}/UpdateProjectEnvironmentClasses": "changes",
    f"{RUNNER}/GetRunner": "reads",
    f"{RUNNER}/ListRunners": "reads",
    f"{RUNNER}/ParseContextURL": "reads",
    f"{RUNNER}/CheckAuthenticationForHost": "reads",
    f"{CONFIGURATION}/GetEnvironmentClass": "reads",
    f"{CONFIGURATION}/ListEnvironmentClasses": "reads",
    f"{CONFIGURATION}/CreateHostAuthenticationToken": "changes",
    f"{CONFIGURATION}/GetHostAuthenticationToken": "reads",
    f"{CONFIGURATION}/ListHostAuthenticationTokens": "reads",
    f"{CONFIGURATION}/UpdateHostAuthenticationToken": "changes",
    f"{CONFIGURATION}/DeleteHostAuthenticationToken": "changes",
    # Their requests lack what they need, so that it shows who gets as far as that.
    f"{USER}/GetAuthenticatedUser": "reads",
    f"{USER}/GetUser": "reads",
    f"{USER}/GetPersonalAccessToken": "reads",
    f"{USER}/ListPersonalAccessTokens": "reads",
    f"{USER}/SetSuspended": "changes",
    f"{USER}/DeleteUser": "changes",
    f"{USER}/CreatePersonalAccessToken": "changes",
    f"{USER}/DeletePersonalAccessToken": "changes",
    f"{SERVICE_ACCOUNT}/GetServiceAccount": "reads",
    f"{SERVICE_ACCOUNT}/GetServiceAccountToken": "reads",
    f"{SERVICE_ACCOUNT}/ListServiceAccountTokens": "reads",
    f"{SERVICE_ACCOUNT}/ListServiceAccounts": "administers",
    f"{SERVICE_ACCOUNT}/CreateServiceAccount": "changes",
    f"{SERVICE_ACCOUNT}/UpdateServiceAccount": "changes",
    f"{SERVICE_ACCOUNT}/DeleteServiceAccount": "changes",
    f"{SERVICE_ACCOUNT}/CreateServiceAccountAccessToken": "changes",
    f"{SERVICE_ACCOUNT}/CreateServiceAccountToken": "changes",
    f"{SERVICE_ACCOUNT}/DeleteServiceAccountToken": "changes",
    f"{USAGE}/GetTopProjects": "reads",
    f"{OPS}/GetGitStatus": "rpc: inside, reads",
    f"{OPS}/GetGitDiff": "rpc: inside, reads",
    f"{OPS}/ReadFile": "rpc: inside, reads",
    f"{OPS}/WriteFile": "rpc: inside, changes",
    f"{OPS}/Exec": "rpc: inside, changes",
    f"{OPS}/GetFileDiffContent": "rpc: inside, reads",
    f"{OPS}/GetGitDiffFiles": "rpc: inside, reads",
    f"{OPS}/GetDefaultBranch": "rpc: inside, reads",
    f"{OPS}/Find": "rpc: inside, reads",
    f"{OPS}/CreateTerminal": "rpc: inside, changes",
    f"{OPS}/ReadTerminal": "rpc: inside, reads",
    f"{OPS}/WriteTerminal": "rpc: inside, changes",
    f"{OPS}/ResizeTerminal": "rpc: inside, changes",
    f"{OPS}/CloseTerminal": "rpc: inside, changes",
    f"{OPS}/ListTerminals": "rpc: inside, reads",
    f"{OPS}/AttachTerminal": "rpc: inside, changes",
    f"{OPS}/CancelExec": "rpc: inside, changes",
    f"{OPS}/Watch": "rpc: inside, reads",
    f"{OPS}/ListTerminalProfiles": "rpc: inside, reads",
    f"{OPS}/ListCapabilities": "rpc: inside, reads",
    f"{OPS}/StartBrowser": "rpc: inside, changes",
}
