"""An environment and its class as clients see them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from protobuf.wkt import Timestamp

from hostler.api.call import current
from hostler.api.codec import from_json
from hostler.contract.gitpod.v1 import environment_pb as pb
from hostler.contract.gitpod.v1.environment_class_pb import EnvironmentClass, FieldValue
from hostler.contract.gitpod.v1.environment_spec_pb import EnvironmentPhase, EnvironmentSpec
from hostler.contract.gitpod.v1.environment_status_pb import EnvironmentStatus
from hostler.contract.gitpod.v1.identity_pb import Principal, Subject
from hostler.core import desk
from hostler.core.ports import EnvironmentRow

PHASES: Mapping[str, EnvironmentPhase] = {
    "creating": EnvironmentPhase.CREATING,
    "starting": EnvironmentPhase.STARTING,
    "running": EnvironmentPhase.RUNNING,
    "stopping": EnvironmentPhase.STOPPING,
    "stopped": EnvironmentPhase.STOPPED,
    "deleting": EnvironmentPhase.DELETING,
    "deleted": EnvironmentPhase.DELETED,
}
MachinePhase = EnvironmentStatus.Machine.Phase
MACHINE_PHASES: Mapping[str, MachinePhase] = {
    "creating": MachinePhase.CREATING,
    "starting": MachinePhase.STARTING,
    "running": MachinePhase.RUNNING,
    "stopping": MachinePhase.STOPPING,
    "stopped": MachinePhase.STOPPED,
    "deleting": MachinePhase.DELETING,
    "deleted": MachinePhase.DELETED,
}
WORKSPACE = "/workspace"
IGNORED = ("admission", "ports", "devcontainer", "sshPublicKeys", "automationsFile", "kernelControlsConfig")
"""Fields of a spec that are accepted and named in a warning."""


def ops_url(environment: str) -> str:
    """Return where commands, files and git of an environment are reached."""
    return f"{current().origin}/api/environments/{environment}/ops"


def environment_of(row: EnvironmentRow, organization: str) -> pb.Environment:
    """Return an environment."""
    request: Mapping[str, Any] = row.spec.get("request", {})
    spec = from_json(EnvironmentSpec, request.get("spec", {}))
    spec.machine = EnvironmentSpec.Machine(class_=row.class_id)
    spec.desired_phase = EnvironmentPhase.STOPPED if row.phase in ("stopping", "stopped") else EnvironmentPhase.RUNNING
    return pb.Environment(id=row.id, metadata=_metadata(row, request, organization), spec=spec, status=_status(row))


def ignored(request: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each field of a spec that has no effect here."""
    spec = request.get("spec", {})
    said = [f"spec.{name} has no effect here" for name in IGNORED if spec.get(name)]
    for one in spec.get("content", {}).get("initializer", {}).get("specs", ()):
        git = one.get("git", {})
        said += [f"{name} has no effect here" for name in ("checkoutLocation", "upstreamRemoteUri") if git.get(name)]
    return said


def class_of(one: desk.EnvironmentClass, runner: str) -> EnvironmentClass:
    """Return an environment class."""
    sizes = {
        "cpus": f"{one.cpus:g}",
        "memoryBytes": str(one.memory_bytes),
        "diskBytes": str(one.disk_bytes),
        "processes": str(one.processes),
        "idleSeconds": f"{one.idle_seconds:g}",
    }
    configuration = [FieldValue(key=key, value=value) for key, value in sizes.items()]
    return EnvironmentClass(
        id=one.id,
        display_name=one.name,
        description=one.description,
        configuration=configuration,
        runner_id=runner,
        enabled=True,
    )


def _metadata(row: EnvironmentRow, request: Mapping[str, Any], organization: str) -> pb.EnvironmentMetadata:
    kind = row.status.get("creator_kind", "user")
    principal = Principal.SERVICE_ACCOUNT if kind == "service_account" else Principal.USER
    return pb.EnvironmentMetadata(
        organization_id=organization,
        annotations={str(key): str(value) for key, value in request.get("annotations", {}).items()},
        name=row.name,
        creator=Subject(id=row.creator_id, principal=principal),
        original_context_url=_context_url(request),
        created_at=_stamp(row.created_at),
        runner_id=row.runner,
        role=pb.EnvironmentRole.DEFAULT,
        session_id=str(request.get("sessionId", "")),
    )


def _context_url(request: Mapping[str, Any]) -> str:
    specs = request.get("spec", {}).get("content", {}).get("initializer", {}).get("specs", ())
    return next((str(one["contextUrl"].get("url", "")) for one in specs if "contextUrl" in one), "")


def _status(row: EnvironmentRow) -> EnvironmentStatus:
    failure = str(row.status.get("failure", ""))
    held = [one for one in row.status.get("protections", ()) if not one.get("holds", True)]
    loose = [f"the limit {one.get('limit')} does not hold on this machine ({one.get('means')})" for one in held]
    warnings = [*map(str, row.status.get("notes", ())), *ignored(row.spec.get("request", {})), *loose]
    ready = row.status.get("content", False)
    content = EnvironmentStatus.ContentPhase.READY if ready else EnvironmentStatus.ContentPhase.CREATING
    return EnvironmentStatus(
        status_version=row.version,
        phase=PHASES[row.phase],
        failure_message=[failure] if failure else [],
        warning_message=warnings,
        environment_urls=EnvironmentStatus.EnvironmentURLs(ops=ops_url(row.id)),
        machine=EnvironmentStatus.Machine(
            session=str(row.status.get("incarnation", "")), phase=MACHINE_PHASES[row.phase]
        ),
        content=EnvironmentStatus.Content(
            phase=EnvironmentStatus.ContentPhase.FAILED if failure and not ready else content,
            content_location_in_machine=str(row.status.get("workspace", WORKSPACE)),
        ),
    )


def _stamp(moment: datetime) -> Timestamp:
    return Timestamp.from_datetime(moment)
