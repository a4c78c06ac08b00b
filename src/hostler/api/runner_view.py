"""This machine as a runner, as clients see it."""

import platform
import uuid
from datetime import UTC, datetime

from protobuf.wkt import Timestamp

from hostler.api.parts import ApiParts
from hostler.contract.gitpod.v1 import runner_pb as pb
from hostler.contract.gitpod.v1.runner_kind_pb import RunnerKind, RunnerProvider

CAPABILITIES = (pb.RunnerCapability.AGENT_EXECUTION, pb.RunnerCapability.RUNNER_SIDE_AGENT)
"""What is really done here: agents are run, and the built-in one runs beside its environment."""


def kind_of(parts: ApiParts) -> RunnerKind:
    """Return the runner's kind: a machine that serves others, which a laptop on loopback is too."""
    return RunnerKind.REMOTE


def provider_of(parts: ApiParts) -> RunnerProvider:
    """Return where the runner runs: on a Linux machine of one's own."""
    return RunnerProvider.LINUX_HOST  # pyright: ignore[reportDeprecated]


async def runner_of(parts: ApiParts) -> pb.Runner:
    """Return this machine."""
    phase, message = pb.RunnerPhase.ACTIVE, ""
    if parts.draining():
        phase, message = pb.RunnerPhase.INACTIVE, "the server is stopping"
    elif not (health := await parts.ready()).ready:
        phase, message = pb.RunnerPhase.DEGRADED, health.reason
    now = Timestamp.from_datetime(parts.ambient.now())
    return pb.Runner(
        runner_id=parts.runner_id,
        created_at=_made(parts.runner_id),
        updated_at=now,
        name=platform.node() or "this machine",
        spec=pb.RunnerSpec(
            desired_phase=pb.RunnerPhase.ACTIVE,
            variant=pb.RunnerVariant.STANDARD,
            configuration=pb.RunnerConfiguration(log_level=pb.LogLevel.INFO),
        ),
        status=pb.RunnerStatus(
            updated_at=now,
            version=parts.version,
            system_details=f"{platform.system()} {platform.release()} {platform.machine()}",
            phase=phase,
            message=message,
            capabilities=list(CAPABILITIES),
        ),
        kind=kind_of(parts),
        provider=provider_of(parts),
    )


def _made(runner_id: str) -> Timestamp | None:
    """Return when the data folder was made, which its id tells."""
    id_ = uuid.UUID(runner_id)
    return Timestamp.from_datetime(datetime.fromtimestamp((id_.int >> 80) / 1000, UTC)) if id_.version == 7 else None
