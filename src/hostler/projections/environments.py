"""What an environment's row says to people, beyond its own words."""

from collections.abc import Mapping, Sequence
from typing import Any


def setup_failures(status: Mapping[str, Any]) -> list[str]:
    """Return what is to be said of setup commands that failed; the environment runs nevertheless."""
    container: Mapping[str, Any] | None = status.get("devcontainer")
    problem = (container or {}).get("problem")
    books: Sequence[Mapping[str, Any]] = list(status.get("steps", {}).values())
    failed = [str(step["failure"]) for book in books for step in book.values() if step.get("failure")]
    return [*([str(problem)] if problem else []), *failed]
