"""What an environment of a project starts from: its source, its class, what prepares it."""

from dataclasses import dataclass

from hostler.api.codec import from_json
from hostler.api.parts import ApiParts
from hostler.api.sight import EVERYBODY, Sight
from hostler.api.sources import source_of_initializer
from hostler.contract.gitpod.v1.environment_spec_pb import EnvironmentInitializer
from hostler.core.desk import NewEnvironment
from hostler.core.errors import FailedPrecondition, InvalidArgument, NotFound
from hostler.core.projects import Project
from hostler.core.providers import Source


@dataclass(frozen=True, slots=True)
class Recipe:
    """A project and what it comes to for a new environment."""

    project: Project
    source: Source
    class_id: str
    setup: tuple[str, ...]
    devcontainer: str
    """Path of the dev container's file; empty: where such files usually are."""
    automations: str


async def recipe(
    parts: ApiParts, project_id: str, *, field: str = "project_id", class_id: str = "", head: str = ""
) -> Recipe:
    """Return what an environment of a project starts from; `class_id` and `head` (a ref) win over the project's own.

    NotFound names `field`; FailedPrecondition when nothing of what the project asks for can be had here any more.
    """
    project = await parts.projects.get(project_id.lower())
    if project is None:
        raise NotFound("there is no such project", field=field)
    initializer = from_json(EnvironmentInitializer, project.body.get("initializer", {}))
    try:
        source = source_of_initializer(initializer, local=parts.loopback, field="initializer", head=head)
    except InvalidArgument as problem:
        raise FailedPrecondition(f"the project {project.name!r} cannot be used: {problem.message}") from None
    return Recipe(
        project=project,
        source=source,
        class_id=_class_of(parts, project, class_id),
        setup=project.setup,
        devcontainer=str(project.body.get("devcontainerFilePath", "")),
        automations=str(project.body.get("automationsFilePath", "")),
    )


async def of_project(parts: ApiParts, project_id: str, class_id: str, creator: str) -> NewEnvironment:
    """Return an environment of a project for an agent, which sees what the person does whom it works for.

    Errors as those of `recipe`.
    """
    project, person = await parts.projects.get(project_id.lower()), await parts.people.get(creator)
    bound = (
        await Sight(parts.policies, parts.executions, parts.environment_rows).of(person.principal)
        if person
        else creator
    )
    if project is not None and bound not in (EVERYBODY, project.creator_id):
        raise NotFound("there is no such project", field="project")
    found = await recipe(parts, project_id, field="project", class_id=class_id)
    return NewEnvironment(
        found.class_id,
        found.source,
        name=found.project.name,
        project_id=found.project.id,
        setup=found.setup,
        devcontainer=found.devcontainer,
    )


def classes_of_project(parts: ApiParts, project: Project) -> list[str]:
    """Return the project's classes that there are, the preferred one first; the default one when it names none."""
    if not project.class_ids:
        return [parts.classes[0].id]
    known = {one.id for one in parts.classes}
    return [one for one in project.class_ids if one in known]


def _class_of(parts: ApiParts, project: Project, class_id: str) -> str:
    if class_id:
        if class_id.lower() not in {one.id for one in parts.classes}:
            raise NotFound("there is no such environment class", field="environment_class_id")
        return class_id.lower()
    usable = classes_of_project(parts, project)
    if not usable:
        raise FailedPrecondition(f"no environment class of the project {project.name!r} is configured any more")
    return usable[0]
