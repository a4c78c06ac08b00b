"""Blocks about code under review: annotations, environments that an agent made, hosts that ask for a credential."""

from collections.abc import Iterable, Mapping
from typing import Any

from hostler.core import forge_events as m
from hostler.core.forge import Forge

ForgeBlocks = m.CodeAnnotated | m.EnvironmentCreated | m.HostAuthenticationRequired
"""Kinds that the contract has a block for."""
NO_ACTION = "environment"
"""The action that a host refused where no call of the agent was: the making of its environment."""


def forge_bodies(event: ForgeBlocks, before: Forge) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Return (name, body) of an event's blocks; a host that is waited for already is not told again."""
    match event:
        case m.CodeAnnotated(_, path, start, end, title, description):
            note = {"filePath": path, "startLine": start, "endLine": end, "title": title, "description": description}
            yield "annotation", _done(codeAnnotation=note)
        case m.EnvironmentCreated(call_id, environment):
            yield "created", _done(environmentCreation={"actionId": call_id, "environmentId": environment})
        case m.HostAuthenticationRequired(call_id, host):
            if host not in before.unauthenticated:
                asked = {"actionId": call_id or NO_ACTION, "host": host}
                runner = {"runnerId": event.runner} if event.runner else {}
                yield "host", _done(hostAuthenticationRequired={**asked, **runner})


def _done(**output: Any) -> Mapping[str, Any]:
    return {"phase": "PHASE_COMPLETED", **output}
