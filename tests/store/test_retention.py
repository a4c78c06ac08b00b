"""Every rule of the retention is understood by both databases, and removes step by step what it counted."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from hostler.store.retention import STEP, QuietExecutions, RowBroom, rules
from tests.store.conftest import Home

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("shared", [True, False])
async def test_every_rule_can_be_looked_at_and_swept(home: Home, shared: bool) -> None:
    async with home.open() as store:
        for rule in rules(expired_days=1, log_days=1, usage_days=1, shared=shared):
            broom = RowBroom(rule, store.writer, store.readers)
            assert (await broom.look(NOW)).number == (await broom.sweep(NOW)).number == 0
        quiet = QuietExecutions(store.readers)
        assert (await quiet.find(NOW, 5), await quiet.size(NOW), await quiet.known()) == ((), 0, frozenset())
        assert await quiet.named() == frozenset()


async def test_more_rows_than_one_step_takes_go_and_the_others_stay(home: Home) -> None:
    (rule,) = (one for one in rules(expired_days=1, log_days=0, usage_days=30, shared=False) if "usage" in one.name)
    days = [NOW - timedelta(days=number) for number in range(2 * STEP + 40)]
    async with home.open() as store:
        rows = [{"day": f"{day:%Y-%m-%d}"} for day in days]
        insert = text("INSERT INTO spent_gone (person, day, tokens) VALUES ('p', :day, 1)")
        await store.writer.do(lambda writing: writing.connection.execute(insert, rows))
        broom = RowBroom(rule, store.writer, store.readers)
        assert (await broom.look(NOW)).number == 2 * STEP + 9
        assert (await broom.sweep(NOW)).number == 2 * STEP + 9
        left = text("SELECT min(day), count(*) FROM spent_gone")
        assert await store.readers.do(lambda it: tuple(it.execute(left).one())) == ("2025-12-03", 31)
