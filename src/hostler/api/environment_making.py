"""From the spec of an environment to what is asked of the engine; everything that is wrong with it is said at once."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from protobuf import Message, Oneof

from hostler.api.codec import to_json
from hostler.api.parts import ApiParts
from hostler.api.recipes import recipe
from hostler.api.settings import check_annotations
from hostler.api.sources import source_of_initializer
from hostler.api.starting import class_named
from hostler.contract.gitpod.v1 import environment_pb as pb
from hostler.contract.gitpod.v1.environment_spec_pb import EnvironmentInitializer, EnvironmentPhase, EnvironmentSpec
from hostler.core.desk import NewEnvironment, SecretMount
from hostler.core.devcontainer import may_set
from hostler.core.errors import InvalidArgument, Unimplemented

INITIALIZER = "spec.content.initializer"
MOST_SECRETS = 100
LONGEST_SECRET = 64 << 10
"""Characters of one secret."""
VERBATIM = ("", "value")
"""What `source` of a secret may say: `source_ref` is the value itself."""
PATH = re.compile(r"(/|~/)?[^/\0]+(/[^/\0]+)*")
CHECKOUT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}){0,7}/?")
Secret = EnvironmentSpec.Secret


def from_request(parts: ApiParts, request: pb.CreateEnvironmentRequest) -> NewEnvironment:
    """Return the environment that is asked for."""
    spec = request.spec or EnvironmentSpec()
    asked = _asked(parts, spec, request, request.annotations)
    class_id = spec.machine.class_ if spec.machine else ""
    return replace(
        asked,
        class_id=class_named(parts, class_id.lower(), "spec.machine.class"),
        source=source_of_initializer(_initializer(spec), local=parts.loopback, field=INITIALIZER),
        name=parts.redactor.text(request.name),
    )


async def from_project(parts: ApiParts, request: pb.CreateEnvironmentFromProjectRequest) -> NewEnvironment:
    """Return the environment that is asked for; what the spec says wins over the project."""
    spec = request.spec or EnvironmentSpec()
    asked = _asked(parts, spec, request, request.annotations)
    class_id = spec.machine.class_ if spec.machine else ""
    if class_id:
        class_named(parts, class_id.lower(), "spec.machine.class")
    made = await recipe(parts, request.project_id, class_id=class_id)
    initializer = _initializer(spec)
    own = initializer is not None and initializer.specs
    source = source_of_initializer(initializer, local=parts.loopback, field=INITIALIZER) if own else made.source
    return replace(
        asked,
        class_id=made.class_id,
        source=source,
        name=parts.redactor.text(request.name or made.project.name),
        project_id=made.project.id,
        setup=made.setup,
        devcontainer=asked.devcontainer or made.devcontainer,
    )


def idle_of(timeout: EnvironmentSpec.Timeout | pb.UpdateEnvironmentRequest.Timeout | None) -> float | None:
    """Return after how many seconds without use an environment stops; None: as its class says, 0: never."""
    if timeout is None or timeout.disconnected is None:
        return None
    return timeout.disconnected.to_timedelta().total_seconds()


def identity(name: str, email: str) -> dict[str, str]:
    """Return the variables by which git knows who commits."""
    given = {"NAME": name, "EMAIL": email}
    for key, value in given.items():
        if "\0" in value or "\n" in value or len(value) > 256:
            raise InvalidArgument("one line of at most 256 characters", field=f"spec.content.git_{key.lower()}")
    return {f"GIT_{who}_{key}": value for key, value in given.items() if value for who in ("AUTHOR", "COMMITTER")}


def _asked(parts: ApiParts, spec: EnvironmentSpec, request: Message, annotations: Mapping[str, str]) -> NewEnvironment:
    """Return what a spec says beside class and source."""
    check_annotations(annotations, "annotations")
    if spec.desired_phase not in (EnvironmentPhase.UNSPECIFIED, EnvironmentPhase.RUNNING, EnvironmentPhase.STOPPED):
        raise InvalidArgument("RUNNING or STOPPED", field="spec.desired_phase")
    if spec.security_policy_id:
        raise Unimplemented("security policies are not served", field="spec.security_policy_id")
    secrets = tuple(_secret(one, f"spec.secrets[{n}]") for n, one in enumerate(spec.secrets))
    _check_secrets(spec.secrets)
    parts.redactor.add(one.value for one in secrets)
    content = spec.content
    return NewEnvironment(
        class_id="",
        source=source_of_initializer(None, local=False, field=INITIALIZER),
        request=parts.redactor.json(_without_values(to_json(request))),
        variables=identity(content.git_username, content.git_email) if content else {},
        secrets=tuple(one for one in secrets if one.variable or one.path),
        idle_seconds=idle_of(spec.timeout),
        devcontainer=_devcontainer(spec),
        checkout=_checkout(spec),
        running=spec.desired_phase is not EnvironmentPhase.STOPPED,
    )


def _devcontainer(spec: EnvironmentSpec) -> str:
    path = spec.devcontainer.devcontainer_file_path if spec.devcontainer else ""
    if path and (not PATH.fullmatch(path) or ".." in path.split("/") or len(path) > 1024):
        raise InvalidArgument("a path in the repository is needed", field="spec.devcontainer.devcontainer_file_path")
    return path


def _checkout(spec: EnvironmentSpec) -> str:
    """Return where the repository is to be seen; relative, of plain names."""
    initializer = _initializer(spec)
    match [one.spec for one in initializer.specs] if initializer else []:
        case [Oneof(field="git", value=git)] if git.checkout_location:
            if not CHECKOUT.fullmatch(git.checkout_location):
                field = f"{INITIALIZER}.specs[0].git.checkout_location"
                raise InvalidArgument("a relative path of plain names is needed", field=field)
            return git.checkout_location.strip("/")
        case _:
            return ""


def _initializer(spec: EnvironmentSpec) -> EnvironmentInitializer | None:
    return spec.content.initializer if spec.content else None


def _secret(one: Secret, field: str) -> SecretMount:
    """Return a secret for the inside; one that is meant for elsewhere gets neither variable nor file."""
    if one.source not in VERBATIM:
        reason = 'the value itself is needed: source "value" and the value in source_ref; there is no secret store here'
        raise InvalidArgument(reason, field=f"{field}.source")
    name = one.name or one.id
    if not name or len(name) > 128:
        raise InvalidArgument("a name of at most 128 characters is needed", field=f"{field}.name")
    if len(one.source_ref) > LONGEST_SECRET:
        raise InvalidArgument(f"at most {LONGEST_SECRET} characters", field=f"{field}.source_ref")
    match one.mount:
        case Oneof(field="environment_variable", value=str(variable)):
            if not may_set(variable):
                raise InvalidArgument("this is no variable that can be set", field=f"{field}.environment_variable")
            if "\0" in one.source_ref:
                raise InvalidArgument("a variable holds no NUL character", field=f"{field}.source_ref")
            return SecretMount(name, _value(one, field), variable=variable)
        case Oneof(field="file_path", value=str(path)):
            if not PATH.fullmatch(path) or ".." in path.split("/") or len(path) > 1024:
                raise InvalidArgument("a path inside the environment is needed", field=f"{field}.file_path")
            path = f"/home/agent/{path.removeprefix('~/')}" if path.startswith("~/") else path
            return SecretMount(name, _value(one, field), path=path)
        case _:
            return SecretMount(name, one.source_ref)


def _value(one: Secret, field: str) -> str:
    if not one.source_ref:
        raise InvalidArgument("the value of the secret is needed", field=f"{field}.source_ref")
    return one.source_ref


def _check_secrets(secrets: Sequence[Secret]) -> None:
    if len(secrets) > MOST_SECRETS:
        raise InvalidArgument(f"at most {MOST_SECRETS} secrets", field="spec.secrets")
    names = [one.name or one.id for one in secrets]
    if len(names) != len(set(names)):
        raise InvalidArgument("two secrets have the same name", field="spec.secrets")


def _without_values(request: Any) -> Any:
    """Return a request's JSON without the values of its secrets, whatever their length."""
    secrets = [{k: v for k, v in one.items() if k != "sourceRef"} for one in request.get("spec", {}).get("secrets", ())]
    return {**request, "spec": {**request["spec"], "secrets": secrets}} if secrets else request
