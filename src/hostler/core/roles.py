"""What somebody may do here: look, run agents, or look after the installation too; tokens narrow it."""

from typing import Literal

Role = Literal["read", "run", "admin"]
"""read: look at what one sees; run: start and change it too; admin: everything, of everybody."""
Scope = Literal["all", "read", "run", "admin"]
"""How far a token reaches; `all`: as far as whoever it belongs to."""
ROLES: tuple[Role, ...] = ("read", "run", "admin")
SCOPES: tuple[Scope, ...] = ("all", "read", "run", "admin")


def least(one: Role, other: Scope) -> Role:
    """Return the role of somebody who comes with a token: the lesser of his own and the token's."""
    return one if other == "all" or ROLES.index(one) <= ROLES.index(other) else other
