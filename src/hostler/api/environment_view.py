"""An environment and its class as clients see them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from protobuf.wkt import Timestamp

from hostler.api.call import current
from hostler.api.codec import from_json
from hostler.contract.gitpod.v1 import environment_pb as pb
from hostler.contract.gitpod.v1.environment_class_pb import EnvironmentClass, FieldValue
from hostler.contract.gitpod.v1.environment_spec_pb import EnvironmentPhase, EnvironmentSpec
from hostler.contract.gitpod.v1.environment_status_pb import (
    EnvironmentActivitySignal,
    EnvironmentGitStatus,
    EnvironmentStatus,
)
from hostler.contract.gitpod.v1.identity_pb import Principal, Subject
from hostler.core import desk
from hostler.core.ports import EnvironmentRow
from hostler.projections.environments import setup_failures

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
IGNORED = (
    "admission",
    "ports",
    "sshPublicKeys",
    "automationsFile",
    "kernelControlsConfig",
)
"""Fields of a spec that are accepted and named in a warning."""
IGNORED_CONTAINER = ("dotfiles", "defaultDevcontainerImage")
ContentPhase = EnvironmentStatus.ContentPhase
Container = EnvironmentStatus.DevContainer


def ops_url(environment: str) -> str:
    """Return where commands, files and git of an environment are reached."""
    return f"{current().origin}/api/environments/{environment}/ops"


def logs_url(environment: str) -> str:
    """Return where the log of an environment is read."""
    return f"{current().origin}/api/environments/{environment}/logs"


def environment_of(row: EnvironmentRow, organization: str) -> pb.Environment:
    """Return an environment."""
    request = _request(row)
    spec = from_json(EnvironmentSpec, request.get("spec", {}))
    spec.spec_version = _spec_version(row)
    spec.machine = EnvironmentSpec.Machine(class_=row.class_id)
    spec.desired_phase = desired_of(row)
    if author := author_of(row):
        spec.content = spec.content or EnvironmentSpec.Content()
        spec.content.git_username, spec.content.git_email = author
    return pb.Environment(id=row.id, metadata=_metadata(row, request, organization), spec=spec, status=_status(row))


def author_of(row: EnvironmentRow) -> tuple[str, str] | None:
    """Return as whom git commits inside, name and address; None where nobody has said so."""
    variables: Mapping[str, str] = row.spec.get("variables", {})
    name, email = (str(variables.get(f"GIT_AUTHOR_{key}", "")) for key in ("NAME", "EMAIL"))
    return (name, email) if name or email else None


def role_of(row: EnvironmentRow) -> pb.EnvironmentRole:
    """Return what an environment is for."""
    workflow = _request(row).get("spec", {}).get("workflowActionId")
    return pb.EnvironmentRole.WORKFLOW if workflow else pb.EnvironmentRole.DEFAULT


def ignored(request: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each field of a spec that has no effect here."""
    spec = request.get("spec", {})
    said = [f"spec.{name} has no effect here" for name in IGNORED if spec.get(name)]
    container = spec.get("devcontainer", {})
    said += [f"spec.devcontainer.{name} has no effect here" for name in IGNORED_CONTAINER if container.get(name)]
    said += [f"the secret {_named(one)}: {why}" for one in spec.get("secrets", ()) if (why := _unused(one))]
    for one in spec.get("content", {}).get("initializer", {}).get("specs", ()):
        git = one.get("git", {})
        said += [f"{name} has no effect here" for name in ("upstreamRemoteUri",) if git.get(name)]
    return said


def _request(row: EnvironmentRow) -> Mapping[str, Any]:
    request: Mapping[str, Any] = row.spec.get("request", {})
    return request


def _named(secret: Mapping[str, Any]) -> str:
    return str(secret.get("name") or secret.get("id", ""))


def _unused(secret: Mapping[str, Any]) -> str:
    """Return why a secret is not put inside; empty when it is."""
    if "gitCredentialHost" in secret:
        return "credentials of code hosts never enter an environment; set it with `hostler secret`"
    if "environmentVariable" in secret or "filePath" in secret:
        return "the credential proxy has no effect here" if secret.get("credentialProxy") else ""
    return "it is mounted nowhere here"


def _spec_version(row: EnvironmentRow) -> int:
    return int(row.status.get("spec_version", 1))


def desired_of(row: EnvironmentRow) -> EnvironmentPhase:
    """Return the phase that an environment is to reach."""
    match row.phase:
        case "stopping" | "stopped":
            return EnvironmentPhase.STOPPED
        case "deleting" | "deleted":
            return EnvironmentPhase.DELETED
        case _:
            return EnvironmentPhase.RUNNING


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
        project_id=str(row.spec.get("project", "")),
        runner_id=row.runner,
        last_started_at=_stamp_of(row.status.get("started_at")),
        archived_at=_stamp_of(row.status.get("archived_at")),
        role=role_of(row),
        session_id=str(request.get("sessionId", "")),
    )


def _context_url(request: Mapping[str, Any]) -> str:
    specs = request.get("spec", {}).get("content", {}).get("initializer", {}).get("specs", ())
    return next((str(one["contextUrl"].get("url", "")) for one in specs if "contextUrl" in one), "")


def _status(row: EnvironmentRow) -> EnvironmentStatus:
    failure = str(row.status.get("failure", ""))
    held = [one for one in row.status.get("protections", ()) if not one.get("holds", True)]
    loose = [f"the limit {one.get('limit')} does not hold on this machine ({one.get('means')})" for one in held]
    failed = setup_failures(row.status)
    asked = [*ignored(_request(row)), *_container(row).get("ignored", ())]
    activity = row.status.get("activity")
    return EnvironmentStatus(
        status_version=row.version,
        runner_ack=EnvironmentStatus.RunnerACK(
            spec_version=_spec_version(row), status_code=EnvironmentStatus.RunnerACK.StatusCode.OK
        ),
        phase=PHASES[row.phase],
        failure_message=[failure] if failure else [],
        warning_message=[*map(str, row.status.get("notes", ())), *failed, *asked, *loose],
        environment_urls=EnvironmentStatus.EnvironmentURLs(ops=ops_url(row.id), logs=logs_url(row.id)),
        machine=EnvironmentStatus.Machine(
            session=str(row.status.get("incarnation", "")),
            phase=MACHINE_PHASES[row.phase],
            timeout=str(row.status.get("timed_out", "")),
        ),
        secrets=_secrets(row),
        content=_content(row, failure),
        devcontainer=_devcontainer(row, failed),
        activity_signal=from_json(EnvironmentActivitySignal, activity) if activity else None,
    )


def _content(row: EnvironmentRow, failure: str) -> EnvironmentStatus.Content:
    ready = bool(row.status.get("content", False))
    initializing = ContentPhase.INITIALIZING if row.handle else ContentPhase.CREATING
    lost = failure if failure and not ready else ""
    source: Any = row.spec.get("source")
    url = str(source.get("url", "")) if isinstance(source, Mapping) else ""  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    git = EnvironmentGitStatus(clone_url=url, branch=str(row.status.get("branch", ""))) if ready and url else None
    return EnvironmentStatus.Content(
        session=str(row.status.get("incarnation", "")),
        phase=ContentPhase.FAILED if lost else ContentPhase.READY if ready else initializing,
        git=git,
        content_location_in_machine=WORKSPACE,
        failure_message=lost,
        warning_message="; ".join(map(str, row.status.get("notes", ()))),
    )


def _container(row: EnvironmentRow) -> Mapping[str, Any]:
    container: Mapping[str, Any] | None = row.status.get("devcontainer")
    return container or {}


def _devcontainer(row: EnvironmentRow, failed: Sequence[str]) -> Container:
    """Return what became of the repository's devcontainer.json; without one, of an environment of our own kind."""
    asked, said = str(row.spec.get("devcontainer", "")), _container(row)
    found = said.get("path")
    presence = Container.Presence.DISCOVERED if found else Container.Presence.GENERATED
    match row.phase:
        case "running":
            phase = Container.Phase.FAILED if failed else Container.Phase.RUNNING
        case "creating" | "starting":
            phase = Container.Phase.CREATING
        case _:
            phase = Container.Phase.STOPPED
    ready = row.status.get("content", False)
    folder = str(said.get("folder") or "")
    return Container(
        session=str(row.status.get("incarnation", "")),
        phase=phase,
        devcontainer_file_path=str(found or asked),
        devcontainerconfig_in_sync=True,
        secrets_in_sync=True,
        failure_message="; ".join(failed),
        remote_user="agent",
        remote_workspace_folder=(f"{WORKSPACE}/{folder}" if folder else WORKSPACE) if ready else "",
        warning_message="; ".join(map(str, said.get("ignored", ()))),
        devcontainer_file_presence=Container.Presence.SPECIFIED if asked else presence,
    )


def _secrets(row: EnvironmentRow) -> list[EnvironmentStatus.Secret]:
    ready = ContentPhase.READY if row.phase == "running" else ContentPhase.CREATING
    return [
        EnvironmentStatus.Secret(
            id=str(one.get("id", "")),
            secret_name=_named(one),
            phase=ContentPhase.UNAVAILABLE if (why := _unused(one)) else ready,
            warning_message=why,
        )
        for one in _request(row).get("spec", {}).get("secrets", ())
    ]


def _stamp(moment: datetime) -> Timestamp:
    return Timestamp.from_datetime(moment)


def _stamp_of(text: str | None) -> Timestamp | None:
    return _stamp(datetime.fromisoformat(text)) if text else None
