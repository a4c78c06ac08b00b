"""Where an environment's own secrets are kept: outside of the database, and gone with the environment."""

from collections.abc import Mapping
from typing import Protocol


class Vault(Protocol):
    """The values of secrets that environments were given, by environment and by the secret's name."""

    async def put(self, environment: str, values: Mapping[str, str]) -> None:
        """Keep the values of one environment, instead of what was kept for it before."""
        ...

    async def get(self, environment: str) -> Mapping[str, str]:
        """Return the values; empty when there are none."""
        ...

    async def remove(self, environment: str) -> None:
        """Forget an environment's values; repeating it is fine."""
        ...

    async def environments(self) -> tuple[str, ...]:
        """Return the environments that values are kept for."""
        ...
