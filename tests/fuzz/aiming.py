"""From what is served to the strategies that shoot at it; a new method or route is shot at without being named here."""

import re

from hypothesis import strategies as st
from protobuf import DescMethod

from hostler.contract.gitpod.v1 import (
    agent_connect,
    environment_connect,
    event_connect,
    identity_connect,
    project_connect,
    runner_configuration_connect,
    runner_connect,
    usage_connect,
)
from hostler.contract.supervisor.v1 import environment_ops_connect
from tests.fuzz import shots
from tests.fuzz.range import Range
from tests.fuzz.shots import Shot

RARE = ("StartAgent", "CreateEnvironment", "CreateEnvironmentFromProject", "StopEnvironment", "DeleteEnvironment")
"""Methods whose success takes long, or takes away what is shot at."""
LEFT_ALONE = re.compile(r"/sign-in|/sign-out|/hostler/v1/(reload|webhooks|users|service-accounts|policy|tokens/)")
"""Routes that would change the range itself; they are shot at with what is no JSON object only."""
SERVICES = (
    agent_connect.AgentService,
    environment_connect.EnvironmentService,
    event_connect.EventService,
    identity_connect.IdentityService,
    project_connect.ProjectService,
    runner_configuration_connect.RunnerConfigurationService,
    runner_connect.RunnerService,
    usage_connect.UsageService,
    environment_ops_connect.EnvironmentOpsService,
)


def described(path: str) -> DescMethod | None:
    """Return the descriptor of a method by its path."""
    service, _, name = path.rpartition("/")
    for one in SERVICES:
        if one.desc().type_name == service.rpartition("/")[2]:
            return next(method for method in one.desc().methods if method.name == name)
    return None


def calls(range_: Range) -> list[st.SearchStrategy[Shot]]:
    """Return the strategies of every method."""
    found: list[st.SearchStrategy[Shot]] = []
    for path in range_.methods():
        if method := described(path):
            ids = range_.ids if method.name not in RARE else range_.ids[-2:]
            found.append(shots.rpc(path, method, ids))
    return found


def routes(range_: Range) -> list[st.SearchStrategy[Shot]]:
    """Return the strategies of every raw route, and of what is none."""
    found = [shots.route(method, path, range_.ids) for method, path in range_.targets() if not LEFT_ALONE.search(path)]
    return [*found, shots.astray()]


def everything(range_: Range) -> st.SearchStrategy[Shot]:
    """Return shots at all that is served."""
    return st.one_of(st.one_of(calls(range_)), st.one_of(calls(range_)), st.one_of(routes(range_)))
