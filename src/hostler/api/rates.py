"""How often anybody may ask: a bucket for each caller, and for each address that is not known to be a caller's.

In memory and per process: it keeps one client from starving the others, and those without a credential from guessing.
An address whose guesses are used up is refused before anything is looked up, unless it shows a credential that was
good before. Requests from this machine itself are not counted by address: a proxy in front tells the true one.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.types import Scope

from hostler.api.call import Call, Caller
from hostler.core.errors import TooMany
from hostler.core.metrics import Counter

MOST = 20_000
"""Buckets, and credentials, that are remembered; the longest unused go."""
GUESSED = (401, 410)
"""Statuses of an answer to a credential, link or share that was not good."""


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Requests a minute; 0 means any number. A whole minute's requests may come at once."""

    caller: int = 60_000
    address: int = 6_000
    attempts: int = 60
    """Of one address, with a credential that is not good."""


class Buckets:
    """Token buckets by name, of one size."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def short(self, name: str, size: int) -> float:
        """Return the seconds until a bucket has something again; 0 when it has."""
        level = self._level(name, size)
        return 0.0 if level >= 1 else (1 - level) * 60 / size

    def take(self, name: str, size: int) -> None:
        """Take one from a bucket, which may be empty already."""
        level = max(0.0, self._level(name, size) - 1)
        self._levels[name] = (level, self._monotonic())
        self._levels.move_to_end(name)
        if len(self._levels) > MOST:
            self._levels.popitem(last=False)

    def _level(self, name: str, size: int) -> float:
        level, at = self._levels.get(name, (float(size), 0.0))
        return min(float(size), level + (self._monotonic() - at) * size / 60)


class Rates:
    """Counts requests; `limits` are asked for anew each time."""

    def __init__(self, limits: Callable[[], RateLimits], monotonic: Callable[[], float], refused: Counter) -> None:
        self._limits = limits
        self._refused = refused
        self._callers = Buckets(monotonic)
        self._addresses = Buckets(monotonic)
        self._guesses = Buckets(monotonic)
        self._known: OrderedDict[int, str] = OrderedDict()
        """The principal behind a credential that was good, by the credential's hash in this process."""

    @property
    def limits(self) -> RateLimits:
        """Return the limits as they are now."""
        return self._limits()

    def arrive(self, scope: Scope, headers: Mapping[str, str]) -> None:
        """Count a request that has come; raises TooMany."""
        if principal := self._known.get(_credential(scope, headers), ""):
            self.spend(principal)
            return
        address = address_of(scope)
        if not address:
            return
        self._check(self._guesses, "attempts", address, self.limits.attempts)
        self._check(self._addresses, "address", address, self.limits.address)
        if self.limits.address:
            self._addresses.take(address, self.limits.address)

    def spend(self, principal: str) -> None:
        """Count a request of a caller who is known; raises TooMany."""
        if size := self.limits.caller:
            self._check(self._callers, "caller", principal, size)
            self._callers.take(principal, size)

    def allows(self, caller: Caller) -> bool:
        """Count a request of a caller and return whether it may be answered; who may not is told so elsewhere."""
        try:
            self.spend(caller.principal.id)
        except TooMany:
            return False
        return True

    def ended(self, scope: Scope, headers: Mapping[str, str], call: Call, status: int) -> None:
        """Learn from an answer whose credential is good, and count one that was not."""
        credential = _credential(scope, headers)
        if status in GUESSED or call.code == "unauthenticated":
            self._known.pop(credential, None)
            if (address := address_of(scope)) and self.limits.attempts:
                self._guesses.take(address, self.limits.attempts)
        elif call.caller is not None and credential:
            self._known[credential] = call.caller.principal.id
            self._known.move_to_end(credential)
            if len(self._known) > MOST:
                self._known.popitem(last=False)

    def _check(self, buckets: Buckets, by: str, name: str, size: int) -> None:
        if size and (seconds := buckets.short(name, size)):
            self._refused.add(by)
            raise TooMany("too many requests; come back later", retry_after=seconds)


def address_of(scope: Scope) -> str:
    """Return the address that a request comes from; nothing for this machine itself."""
    client = scope.get("client")
    try:
        address = ipaddress.ip_address(client[0]) if client else None
    except ValueError:
        return str(client[0]) if client else ""
    if address is None or address.is_loopback:
        return ""
    if isinstance(address, ipaddress.IPv6Address):  # whoever has one has the whole network of 64 bits
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _credential(scope: Scope, headers: Mapping[str, str]) -> int:
    """Return what stands for the credential of a request; 0 for none."""
    query = scope.get("query_string", b"") if b"token=" in scope.get("query_string", b"") else b""
    shown = (headers.get("authorization", ""), headers.get("cookie", ""), query)
    return hash(shown) or 1 if any(shown) else 0
