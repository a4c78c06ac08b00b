"""How long environments of projects ran follows from their rows."""

from dataclasses import replace
from datetime import datetime

import pytest

from hostler.core.errors import Conflict
from hostler.core.ports import EnvironmentRow
from hostler.core.projects import User
from hostler.engine.project_use import CountedRows
from hostler.testing.clock import HandClock
from hostler.testing.desk_environments import MemoryEnvironmentRows
from hostler.testing.desk_projects import MemoryProjectUse


class Recorded(MemoryProjectUse):
    """Remembers what was noted."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[str, str]] = []

    async def began(self, environment: str, project: str, user: User, at: datetime) -> None:
        self.noted.append(("began", f"{environment} {project} {user.id} {user.kind}"))

    async def ended(self, environment: str, at: datetime) -> None:
        self.noted.append(("ended", environment))


@pytest.fixture
def use() -> Recorded:
    return Recorded()


@pytest.fixture
def rows(use: Recorded) -> CountedRows:
    return CountedRows(MemoryEnvironmentRows(), use, HandClock())


def row(project: str = "shop") -> EnvironmentRow:
    now = HandClock().now()
    spec, status = {"project": project}, {"creator_kind": "service_account"}
    return EnvironmentRow("env", "r", "creating", 0, "class", "", "bot", now, now, spec, None, status)


async def test_a_run_begins_once_and_ends_with_the_phase(rows: CountedRows, use: Recorded) -> None:
    one = await rows.save(row())
    one = await rows.save(replace(one, phase="running"))
    one = await rows.save(replace(one, status={**one.status, "base": "x"}))
    assert use.noted[1:] == [("began", "env shop bot service_account")]
    one = await rows.save(replace(one, phase="stopping"))
    one = await rows.save(replace(one, phase="running"))
    assert [what for what, _ in use.noted[1:]] == ["began", "ended", "began"]
    await rows.remove("env")
    assert use.noted[-1] == ("ended", "env")
    assert await rows.get("env") is None


async def test_an_environment_without_a_project_is_not_counted(rows: CountedRows, use: Recorded) -> None:
    one = await rows.save(row(""))
    await rows.save(replace(one, phase="running"))
    assert use.noted == []


async def test_a_write_that_lost_its_race_is_not_counted(rows: CountedRows, use: Recorded) -> None:
    one = await rows.save(row())
    await rows.save(one)
    use.noted.clear()
    with pytest.raises(Conflict):
        await rows.save(replace(one, phase="running"))
    assert use.noted == []


async def test_what_runs_already_is_noted_by_the_next_server_too(use: Recorded) -> None:
    kept = MemoryEnvironmentRows()
    first = CountedRows(kept, use, HandClock())
    one = await first.save(replace(row(), phase="running"))
    await CountedRows(kept, use, HandClock()).save(one)
    assert [what for what, _ in use.noted] == ["began", "began"]
