"""From an initializer of the contract to the source that an environment is made from."""

from dataclasses import replace

from protobuf import Oneof

from hostler.contract.gitpod.v1.environment_spec_pb import EnvironmentInitializer, GitInitializer
from hostler.core.context import checked, source_of
from hostler.core.errors import InvalidArgument, Unimplemented
from hostler.core.providers import LocalRepository, RemoteRepository, Scratch, Source


def source_of_initializer(
    initializer: EnvironmentInitializer | None, *, local: bool, field: str, head: str = ""
) -> Source:
    """Return what an initializer brings into the workspace; `head` is the ref where it names none itself.

    InvalidArgument and Unimplemented name what is below `field`; `local` allows repositories on this machine.
    """
    match initializer.specs if initializer else []:
        case []:
            return Scratch()
        case [one]:
            match one.spec:
                case Oneof(field="context_url", value=context):
                    return source_of(context.url, local=local, head=head, field=f"{field}.specs[0].context_url.url")
                case Oneof(field="git", value=git):
                    return _cloned(git, local, head, f"{field}.specs[0].git")
                case _:
                    raise InvalidArgument("a source is needed", field=f"{field}.specs[0].spec")
        case _:
            raise Unimplemented("an environment has one source", field=f"{field}.specs")


def _cloned(git: GitInitializer, local: bool, head: str, field: str) -> RemoteRepository | LocalRepository:
    modes = GitInitializer.CloneTargetMode
    local_branch = git.target_mode == modes.LOCAL_BRANCH
    named = git.target_mode in (modes.REMOTE_COMMIT, modes.REMOTE_BRANCH, modes.REMOTE_TAG, modes.LOCAL_BRANCH)
    if named and not git.clone_target:
        raise InvalidArgument("this mode needs the name to check out", field=f"{field}.clone_target")
    name = checked(git.clone_target, f"{field}.clone_target") if named else None
    ref = None if local_branch else name
    source = source_of(git.remote_uri, local=local, head=head or ref or "", field=f"{field}.remote_uri")
    return replace(source, branch=name) if local_branch else source
