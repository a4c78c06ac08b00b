"""Telling what the agent waits for, and what came of it."""

from datetime import datetime

from hostler.core.interests_events import InterestFired, InterestsDropped, InterestsEvent, InterestsRegistered
from hostler.core.waking import LATE, span, words
from hostler.projections.telling import Telling


def tell_waits(telling: Telling, event: InterestsEvent) -> None:
    """Tell of a wait: what for, what came of it, what was dropped."""
    match event:
        case InterestsRegistered(_, registered):
            what = [f"{words(one)}{_when(one.fires_at or one.until, bound=one.fires_at is None)}" for one in registered]
            telling.note("waits", f"It waits for {'; '.join(what) or 'the next message'}.")
        case InterestFired(id_, late):
            one = telling.before.interests.one(id_)
            how = f", {span(late)} late" if late >= LATE else ""
            by = ", as a caller of the API told" if event.outside else ""
            telling.note("woken", f"Woken: {words(one) if one else 'what it waited for'}{how}{by}.")
        case InterestsDropped(ids, why):
            gone = [words(one) for one in telling.before.interests.open if one.id in ids]
            if gone:
                telling.note("unwaited", f"Not waited for any more: {'; '.join(gone)}.", detail=why)


def _when(moment: datetime | None, *, bound: bool) -> str:
    return f" {'until' if bound else 'at'} {moment:%Y-%m-%d %H:%M:%S} UTC" if moment else ""
