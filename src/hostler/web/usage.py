"""The page of usage: what model calls cost by day, by model, agent or project, and which executions cost most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from hostler.core.errors import InvalidArgument
from hostler.core.ports import Row
from hostler.core.projects import ProjectQuery
from hostler.core.spending import DaySum, Dimension, Spent
from hostler.web.chart import Day, chart
from hostler.web.lines import short
from hostler.web.site import Site
from hostler.web.words import amount, plain

PERIODS = (7, 30, 90)
DIMENSIONS: Sequence[Dimension] = ("model", "agent", "project")
TOP = 10
"""Executions that are named."""


@dataclass(frozen=True, slots=True)
class Share:
    """What was spent under one name, and its part of all."""

    name: str
    title: str
    day: Day
    percent: float


@dataclass(frozen=True, slots=True)
class Costly:
    """An execution that spent much."""

    id: str
    title: str
    day: Day


class UsagePages:
    """The handler."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._parts = site.parts

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [self._site.route("/usage", self.show)]

    async def show(self, request: Request) -> Response:
        """Show what was spent in the last days."""
        await self._site.credentials.person(request)
        days = _days(request.query_params.get("days", "30"))
        by, only = _dimension(request.query_params.get("by", "model")), request.query_params.get("only")
        today = self._parts.ambient.now().date()
        since = today - timedelta(days=days - 1)
        sums = await self._parts.spending.daily(since.isoformat(), by)
        titles = await self._titles(by)
        shares = _shares(sums, titles, today)
        chosen = [one for one in sums if only is None or one.name == only]
        table = _table(chosen, since, days)
        return self._site.page(
            "usage.html",
            here="/usage",
            days=days,
            periods=PERIODS,
            by=by,
            dimensions=DIMENSIONS,
            only=only,
            only_title=None if only is None else _title(only, titles),
            table=[day for day in reversed(table) if day.spent.calls or day.spent.guessed_calls],
            chart=chart(table),
            total=Day(today, sum((one.spent for one in chosen), Spent())),
            shares=shares,
            costly=await self._costly(since, today),
            amount=amount,
        )

    async def _titles(self, by: Dimension) -> Mapping[str, str]:
        match by:
            case "agent":
                return {one.agent.id: one.agent.name for one in self._parts.agents.all()}
            case "project":
                return {one.id: one.name for one in await self._parts.projects.find(ProjectQuery())}
            case "model":
                return {}

    async def _costly(self, since: date, today: date) -> list[Costly]:
        found = await self._parts.spending.top(since.isoformat(), TOP)
        rows = [(one, await self._parts.executions.row(one.execution)) for one in found]
        there = [(one, row) for one, row in rows if row is not None and row.deleted_at is None]
        return [Costly(row.id, _name(row), Day(today, one.spent)) for one, row in there]


def _name(row: Row) -> str:
    return short(str(row.view.get("metadata", {}).get("name", ""))) or row.id[:8]


def _table(sums: Sequence[DaySum], since: date, days: int) -> list[Day]:
    """Return every day of the period, also those without a call."""
    by_day = dict[str, Spent]()
    for one in sums:
        by_day[one.day] = by_day.get(one.day, Spent()) + one.spent
    every = [since + timedelta(days=number) for number in range(days)]
    return [Day(day, by_day.get(day.isoformat(), Spent())) for day in every]


def _shares(sums: Sequence[DaySum], titles: Mapping[str, str], today: date) -> list[Share]:
    """Return the names, those that spent most first."""
    by_name = dict[str, Spent]()
    for one in sums:
        by_name[one.name] = by_name.get(one.name, Spent()) + one.spent
    rows = [(name, Day(today, spent)) for name, spent in by_name.items()]
    every = sum(day.tokens for _, day in rows) or 1
    rows.sort(key=lambda row: (-row[1].tokens, row[0]))
    return [Share(name, _title(name, titles), day, round(100 * day.tokens / every, 1)) for name, day in rows]


def _title(name: str, titles: Mapping[str, str]) -> str:
    return plain(titles.get(name) or name) or "none"


def _days(given: str) -> int:
    if given not in [str(one) for one in PERIODS]:
        raise InvalidArgument(f"one of {', '.join(map(str, PERIODS))}", field="days")
    return int(given)


def _dimension(given: str) -> Dimension:
    if given not in DIMENSIONS:
        raise InvalidArgument(f"one of {', '.join(DIMENSIONS)}", field="by")
    return cast("Dimension", given)
