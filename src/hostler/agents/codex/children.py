"""Codex's own sub-agents: threads beside ours on the same connection."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from hostler.core.agent_events import ChildReported
from hostler.core.agents import Child

Json = Mapping[str, Any]
State = Literal["running", "done", "failed"]
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
        return self._report(thread, tokens=tokens)

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

    def _report(
        self, thread: str, *, state: State | None = None, tokens: int | None = None
    ) -> tuple[ChildReported, ...]:
        before = self._all.get(thread)
        after = self._keep(thread, state=state, tokens=tokens)
        return () if after == before else (ChildReported(after),)

    def _keep(
        self, thread: str, *, name: str | None = None, state: State | None = None, tokens: int | None = None
    ) -> Child:
        old = self._all.get(thread) or Child(thread, thread[-8:], "running")
        total = old.total_tokens if tokens is None else tokens
        self._all[thread] = Child(thread, name or old.name, state or old.state, total)
        return self._all[thread]
