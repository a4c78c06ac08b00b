"""Machines as runners, as clients see them."""

import platform
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from protobuf.wkt import Timestamp

from hostler.api.parts import ApiParts
from hostler.contract.gitpod.v1 import runner_pb as pb
from hostler.contract.gitpod.v1.runner_kind_pb import RunnerKind, RunnerProvider
from hostler.core.runners import RunnerSeen

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
    known = parts.peers.get(parts.runner_id)
    here = f"{platform.system()} {platform.release()} {platform.machine()}"
    name = (known.name if known else "") or platform.node() or "this machine"
    return _shown(parts, parts.runner_id, name, (phase, message), parts.ambient.now(), (parts.version, here))


def peer_of(parts: ApiParts, runner: RunnerSeen) -> pb.Runner:
    """Return another machine, as its last sign of life told of it."""
    live = parts.peers.live(runner.id)
    phase, message = pb.RunnerPhase.ACTIVE, ""
    if not live:
        phase = pb.RunnerPhase.INACTIVE
        message = f"no sign of life; the last one counted until {runner.until:%Y-%m-%d %H:%M:%S} UTC"
    elif not runner.details.get("ready", True):
        phase, message = pb.RunnerPhase.DEGRADED, str(runner.details.get("reason", ""))
    elif not runner.url:
        phase, message = pb.RunnerPhase.DEGRADED, "it has not said yet where it is reached"
    seen = parts.ambient.now() if live else runner.until
    about = (runner.version, str(runner.details.get("system", "")))
    return _shown(parts, runner.id, runner.name or runner.id, (phase, message), seen, about)


async def runners_of(parts: ApiParts) -> Sequence[pb.Runner]:
    """Return every machine of the database, the newest first."""
    await parts.peers.look()
    others = [peer_of(parts, one) for one in parts.peers.all() if one.id != parts.runner_id]
    return sorted([*others, await runner_of(parts)], key=lambda one: one.runner_id, reverse=True)


def _shown(
    parts: ApiParts, runner: str, name: str, health: tuple[pb.RunnerPhase, str], seen: datetime, about: tuple[str, str]
) -> pb.Runner:
    at = Timestamp.from_datetime(seen)
    return pb.Runner(
        runner_id=runner,
        created_at=_made(runner),
        updated_at=at,
        name=name,
        spec=pb.RunnerSpec(
            desired_phase=pb.RunnerPhase.ACTIVE,
            variant=pb.RunnerVariant.STANDARD,
            configuration=pb.RunnerConfiguration(log_level=pb.LogLevel.INFO),
        ),
        status=pb.RunnerStatus(
            updated_at=at,
            version=about[0],
            system_details=about[1],
            phase=health[0],
            message=health[1],
            capabilities=list(CAPABILITIES),
        ),
        kind=kind_of(parts),
        provider=provider_of(parts),
    )


def _made(runner_id: str) -> Timestamp | None:
    """Return when the data folder was made, which its id tells."""
    id_ = uuid.UUID(runner_id)
    return Timestamp.from_datetime(datetime.fromtimestamp((id_.int >> 80) / 1000, UTC)) if id_.version == 7 else None
