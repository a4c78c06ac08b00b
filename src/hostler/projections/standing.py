"""Where an execution stands for the people who look after it: somebody must act, it works, or it is done."""

from collections.abc import Mapping
from typing import Any, Literal

from hostler.core.spending import plain

Standing = Literal["needs", "working", "done"]
LONGEST = 2000
"""Characters of name, description and repository that are searched."""


def standing(view: Mapping[str, Any]) -> Standing:
    """Return which of the three it is; a function of the view, as it is shown."""
    status, more = view.get("status", {}), view.get("hostler", {})
    if more.get("needsCredential") and status.get("phase") != "PHASE_RUNNING":
        return "needs"
    if status.get("phase") in ("PHASE_PENDING", "PHASE_RUNNING"):
        return "working"
    asks = status.get("failureMessage") or more.get("limit") or more.get("openQuestions") or more.get("refusedHosts")
    if not asks and more.get("waits"):
        return "working"
    return "needs" if asks else "done"


def words(view: Mapping[str, Any]) -> str:
    """Return what a search looks through, folded: name, description and repository."""
    metadata = view.get("metadata", {})
    texts = (metadata.get("name", ""), metadata.get("description", ""), repository(view))
    return plain("\n".join(dict.fromkeys(map(str, texts))).casefold())[:LONGEST]


def repository(view: Mapping[str, Any]) -> str:
    """Return the address of the repository that it was started with; empty when there is none."""
    context = view.get("spec", {}).get("codeContext", {})
    for name, field in (("contextUrl", "url"), ("pullRequest", "url")):
        if (found := context.get(name)) and isinstance(found, Mapping):
            return str(found.get(field, ""))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    return ""
