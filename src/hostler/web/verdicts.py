"""What the log can show for "done", for rows of a list: worked out once for each length of a log, a few at a time."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from hostler.core.ports import Executions, Row
from hostler.projections.receipts import Verdict, receipts

AT_ONCE = 1500
"""Events that are read for one page; what is left comes when the page looks again, a moment later."""
KEPT = 5000
"""Verdicts that are remembered."""


class Verdicts:
    """Remembers verdicts by the execution and the length of its log."""

    def __init__(self, executions: Executions) -> None:
        self._executions = executions
        self._known: OrderedDict[tuple[str, int], Verdict] = OrderedDict()

    async def of(self, rows: Sequence[Row]) -> Mapping[str, Verdict]:
        """Return the verdicts of finished turns that are known, or can be told without reading much."""
        found, left = dict[str, Verdict](), AT_ONCE
        for row in rows:
            key = row.id, row.last_seq
            if key not in self._known and row.turn > 0 and row.last_seq <= left:
                left -= row.last_seq
                self._keep(key, receipts(await self._executions.read(row.id)).verdict)
            if key in self._known:
                found[row.id] = self._known[key]
        return found

    def _keep(self, key: tuple[str, int], verdict: Verdict) -> None:
        self._known[key] = verdict
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
