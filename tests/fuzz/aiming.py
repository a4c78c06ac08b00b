"""From what is served to the strategies that shoot at it; a new method or route is shot at without being named here."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

from hypothesis import strategies as st
from protobuf import DescMethod, DescService

from hostler import contract
from tests.fuzz import shots
from tests.fuzz.range import Range
from tests.fuzz.shots import Shot
from tests.fuzz.values import Ids

RARE = (
    "StartAgent",
    "CreateEnvironment",
    "CreateEnvironmentFromProject",
    "StopEnvironment",
    "DeleteEnvironment",
    "SetSuspended",
    "DeleteUser",
)
"""Methods whose success takes long, or takes away what is shot at."""
LEFT_ALONE = re.compile(r"/sign-in|/sign-out|/hostler/v1/(reload|webhooks|users|service-accounts|policy|tokens/)")
"""Routes that would change the range itself; they are shot at with what is no JSON object only."""


def services() -> Iterator[DescService]:
    """Yield the descriptor of every service that the contract's generated code has."""
    for module in pkgutil.walk_packages(contract.__path__, f"{contract.__name__}."):
        if module.name.endswith("_connect"):
            found = vars(importlib.import_module(module.name))
            yield from (one.desc() for name, one in found.items() if name.endswith("Service") and hasattr(one, "desc"))


METHODS = {f"{one.type_name}/{method.name}": method for one in services() for method in one.methods}


def described(path: str) -> DescMethod | None:
    """Return the descriptor of a method by its path."""
    return METHODS.get("/".join(path.split("/")[-2:]))


def calls(range_: Range) -> list[tuple[str, DescMethod, Ids]]:
    """Return every method with the ids that may be named to it."""
    found: list[tuple[str, DescMethod, Ids]] = []
    for path in range_.methods():
        if method := described(path):
            found.append((path, method, range_.ids if method.name not in RARE else range_.ids[-2:]))
    return found


def routes(range_: Range) -> list[tuple[str, str]]:
    """Return the raw routes that are shot at."""
    return [(method, path) for method, path in range_.targets() if not LEFT_ALONE.search(path)]


@st.composite
def at_methods(draw: st.DrawFn, range_: Range) -> Shot:
    """Return a shot at a method."""
    path, method, ids = draw(st.sampled_from(calls(range_)))
    return shots.rpc(draw, path, method, ids)


@st.composite
def at_routes(draw: st.DrawFn, range_: Range) -> Shot:
    """Return a shot at a raw route, or astray."""
    if draw(st.integers(0, 9)) == 0:
        return shots.astray(draw)
    method, path = draw(st.sampled_from(routes(range_)))
    return shots.route(draw, method, path, range_.ids)


def everything(range_: Range) -> st.SearchStrategy[Shot]:
    """Return shots at all that is served."""
    return st.one_of(at_methods(range_), at_methods(range_), at_routes(range_))
