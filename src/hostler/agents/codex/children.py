"""Codex's own sub-agents: threads beside ours on the same connection."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from hostler.agents.codex.items import bounded
from hostler.core.agent_events import ChildReported
from hostler.core.agents import Child

Json = Mapping[str, Any]
State = Literal["running", "done", "failed"]
LONGEST_TEXT = 4_000
"""Characters of what a sub-agent was told and said that are kept of it; all that it said is noted beside that."""
_STATES: Mapping[str, State] = {
    "pendingInit": "running",
    "running": "running",
    "completed": "done",
    "shutdown": "done",
    "interrupted": "failed",
    "errored": "failed",
    "notFound": "failed",
}
_ACTIVITIES: Mapping[str, State] = {"started": "running", "completed": "done", "interrupted": "failed"}


@dataclass(slots=True)
class Children:
    """The sub-agents that this reader, or one before it, has heard of."""

    _all: dict[str, Child] = field(default_factory=dict[str, Child])

    @classmethod
    def known(cls, children: Iterable[Child]) -> Self:
        """Return them as the log knows them, so that late news of one that is done does not make it run again."""
        return cls({child.id: child for child in children})

    def name(self, thread: str) -> str:
        """Return what a sub-agent is called, the end of its id where it has no name."""
        found = self._all.get(thread)
        return found.name if found else thread[-8:]

    def introduced(self, thread: Json) -> None:
        """Remember the name that Codex gave to a sub-agent."""
        path = str(thread.get("agentPath") or "").rpartition("/")[2]
        self._keep(str(thread["id"]), name=thread.get("agentNickname") or path or None)

    def turned(self, thread: str, state: State) -> tuple[ChildReported, ...]:
        """Return the news that a sub-agent works, or not any more."""
        return self._report(thread, state=state)

    def used(self, thread: str, tokens: int) -> tuple[ChildReported, ...]:
        """Return the news of what a sub-agent used."""
        return self._report(thread, total_tokens=tokens)

    def told(self, thread: str, text: str) -> tuple[ChildReported, ...]:
        """Return the news of what a sub-agent is to do."""
        return self._report(thread, asked=bounded(text, LONGEST_TEXT)) if text.strip() else ()

    def said(self, thread: str, text: str) -> tuple[ChildReported, ...]:
        """Return the news of what a sub-agent said."""
        return self._report(thread, said=bounded(text, LONGEST_TEXT))

    def active(self, item: Json) -> tuple[ChildReported, ...]:
        """Return the news in an item subAgentActivity."""
        thread = str(item["agentThreadId"])
        self._keep(thread, name=str(item.get("agentPath") or "").rpartition("/")[2] or None)
        state = _ACTIVITIES.get(str(item.get("kind")))
        return self._report(thread, state=state) if state else ()

    def listed(self, item: Json) -> tuple[ChildReported, ...]:
        """Return the news in an item collabAgentToolCall, which lists the states of those it is about."""
        states: Json = item.get("agentsStates") or {}
        news: list[ChildReported] = []
        for thread, said in states.items():
            if state := _STATES.get(str(said.get("status"))):
                news += self._report(thread, state=state)
        return tuple(news)

    def _report(self, thread: str, **news: Any) -> tuple[ChildReported, ...]:
        before = self._all.get(thread)
        after = self._keep(thread, **news)
        return () if after == before else (ChildReported(after),)

    def _keep(self, thread: str, *, name: str | None = None, **news: Any) -> Child:
        """Remember what is new of a sub-agent, and return all that is known of it."""
        old = self._all.get(thread) or Child(thread, thread[-8:], "running")
        self._all[thread] = replace(old, name=name or old.name, **news)
        return self._all[thread]
