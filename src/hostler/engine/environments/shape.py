"""What an environment's row says: how it is written at first, and what it asks a provider for."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from hostler.core.desk import EnvironmentClass, NewEnvironment
from hostler.core.egress import Allowed
from hostler.core.errors import EnvironmentFailed
from hostler.core.ports import EnvironmentRow, Principal
from hostler.core.providers import EnvSpec, KeptSource, Limits, NetworkPolicy, RemoteRepository, Source
from hostler.environments.content import host_of

SOURCE: TypeAdapter[Source] = TypeAdapter(Source)
KINDS: Mapping[str, type[Source]] = {kind.__name__: kind for kind in Source.__args__}


class Shapes:
    """Environment classes and the network's rules, as the configuration has them."""

    def __init__(self, classes: Sequence[EnvironmentClass], allow: Sequence[str], private: Sequence[str]) -> None:
        self.classes = {cls.id: cls for cls in classes}
        self._allow = tuple(allow)
        self.private = tuple(private)

    def become(self, allow: Sequence[str], private: Sequence[str]) -> None:
        """Take other rules of the network, for environments that start from now on."""
        self._allow, self.private = tuple(allow), tuple(private)

    def spec(self, row: EnvironmentRow, secrets: Mapping[str, str]) -> EnvSpec:
        """Return what a provider is asked for; raises EnvironmentFailed when the class is not configured any more.

        `secrets` are the values of the row's secrets, by name.
        """
        cls = self.classes.get(row.class_id)
        if cls is None:
            raise EnvironmentFailed(f"the environment class {row.class_id} is not configured any more")
        limits = Limits(
            cpus=cls.cpus, memory_bytes=cls.memory_bytes, disk_bytes=cls.disk_bytes, processes=cls.processes
        )
        source = source_of(row)
        allow = tuple(one.host for one in self.allowed(row) if one.why != "private")
        network = NetworkPolicy(allow=allow, private=self.private)
        checkout = str(row.spec.get("checkout", ""))
        return EnvSpec(row.id, limits, network, self._variables(row, cls, secrets), source, checkout=checkout)

    def allowed(self, row: EnvironmentRow) -> tuple[Allowed, ...]:
        """Return which hosts an environment may reach by the settings and by what it was made from, and why."""
        source = source_of(row)
        lower = source.below if isinstance(source, KeptSource) else source
        own = (Allowed(host_of(lower.url), "repository"),) if isinstance(lower, RemoteRepository) else ()
        cls = self.classes.get(row.class_id)
        return (
            *own,
            *(Allowed(host, "settings") for host in self._allow),
            *(Allowed(host, "environment class") for host in (cls.allow if cls else ())),
            *(Allowed(host, "private") for host in self.private),
        )

    def setup(self, row: EnvironmentRow) -> tuple[str, ...]:
        """Return the shell commands that are run once: those of the class, then those of the row."""
        cls = self.classes.get(row.class_id)
        return (*(cls.setup if cls else ()), *row.spec.get("setup", ()))

    def idle_seconds(self, row: EnvironmentRow) -> float:
        """Return after how long without use an environment stops by itself; 0 means never."""
        own = row.spec.get("idle")
        if own is not None:
            return float(own)
        cls = self.classes.get(row.class_id)
        return cls.idle_seconds if cls else 0.0

    def _variables(self, row: EnvironmentRow, cls: EnvironmentClass, secrets: Mapping[str, str]) -> dict[str, str]:
        """Return the variables inside; what was asked for by name wins over what the repository says."""
        in_variables = [one for one in row.spec.get("secrets", ()) if one["variable"] and one["name"] in secrets]
        hidden = {one["variable"]: secrets[one["name"]] for one in in_variables}
        said: Mapping[str, str] = devcontainer_of(row).get("variables") or {}
        return {**cls.variables, **said, **row.spec.get("variables", {}), **hidden}


def devcontainer_of(row: EnvironmentRow) -> Mapping[str, Any]:
    """Return what is known of the repository's devcontainer.json; empty when there is none, or not yet."""
    said: Mapping[str, Any] | None = row.status.get("devcontainer")
    return said or {}


def source_of(row: EnvironmentRow) -> Source:
    """Return what is brought into an environment."""
    kind: TypeAdapter[Source] = TypeAdapter(KINDS[row.spec["kind"]])
    return kind.validate_python(row.spec["source"])


def first_row(
    environment: str, runner: str, new: NewEnvironment, creator: Principal, owner: str, now: datetime
) -> EnvironmentRow:
    """Return the row of a new environment; it holds no secret."""
    spec: dict[str, Any] = {
        "source": SOURCE.dump_python(new.source, mode="json"),
        "kind": type(new.source).__name__,
        "variables": dict(new.variables or {}),
        "request": dict(new.request or {}),
        "project": new.project_id,
        "setup": list(new.setup),
        "secrets": [{"name": one.name, "variable": one.variable, "path": one.path} for one in new.secrets],
        "idle": new.idle_seconds,
        "devcontainer": new.devcontainer,
        "checkout": new.checkout,
    }
    return EnvironmentRow(
        id=environment,
        runner=runner,
        phase="creating" if new.running else "stopped",
        version=0,
        class_id=new.class_id,
        name=new.name,
        creator_id=creator.id,
        created_at=now,
        last_used_at=now,
        spec=spec,
        handle=None,
        status={"creator_kind": creator.kind},
        owner_execution=owner,
    )
