"""Environments like one that there is: from the same source, set up in the same way, without what was done in it."""

from hostler.core.desk import NewEnvironment
from hostler.core.errors import NotFound
from hostler.core.ports import EnvironmentRows
from hostler.engine.environments.shape import source_of


class Likeness:
    """Says what an environment was made from; its secrets are not in its row, and not in the likeness."""

    def __init__(self, rows: EnvironmentRows) -> None:
        self._rows = rows

    async def __call__(self, environment: str) -> NewEnvironment:
        """Return an environment to be made like this one; NotFound when there is none."""
        row = await self._rows.get(environment)
        if row is None:
            raise NotFound("there is no such environment", field="environment_id")
        spec = row.spec
        return NewEnvironment(
            row.class_id,
            source_of(row),
            row.name,
            request=spec.get("request") or None,
            variables=spec.get("variables") or None,
            project_id=str(spec.get("project", "")),
            setup=tuple(spec.get("setup", ())),
            idle_seconds=spec.get("idle"),
            devcontainer=str(spec.get("devcontainer", "")),
            checkout=str(spec.get("checkout", "")),
        )
