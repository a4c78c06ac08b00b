"""What is known of the request that is being answered: its id, where it came to, who sent it."""

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal

from structlog.contextvars import bind_contextvars

from hostler.core.desk import Seen
from hostler.core.errors import NotFound, PermissionDenied, Unauthenticated
from hostler.core.ports import Principal
from hostler.core.roles import Role

ShortKind = Literal["conversation", "environment", "logs"]
CredentialKind = Literal["api", "sign_in", "share"] | ShortKind
"""By `sign_in` a browser that is signed in is meant, by `share` a visitor."""
Power = Literal["see", "inspect", "send", "control"]
"""What may be done with an execution: see its conversation; read all else that is kept of it; say something; stop it,
change its queue, share it and so on."""
READS: frozenset[Power] = frozenset({"see", "inspect"})
SAYS: frozenset[Power] = frozenset({"see", "send"})
ALL: frozenset[Power] = frozenset({"see", "inspect", "send", "control"})

PEER = "hostler.peer"
"""Where whoever serves this says whom it is connected with, when it lets a proxy say who the client is."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Validity:
    """Whether what let a caller in was taken back since; `rests_on` are ids and hashes that may be."""

    rests_on: tuple[str, ...] = ()
    role: Role = "run"
    """With which role the caller came in; for a visitor that of who shares."""
    token: str = ""
    """The sha256 of the API token that it rests on, if it does; likewise of a sign-in and a share."""
    sign_in: str = ""
    share: str = ""
    of_execution: str = ""
    of_environment: str = ""
    """What the caller must still see."""
    over: bool = False
    _told: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])

    def tell(self, watcher: Callable[[], None]) -> None:
        """Call a watcher when it is taken back."""
        self._told.append(watcher)

    def end(self) -> None:
        """Note that it was taken back."""
        self.over = True
        for watcher in self._told:
            watcher()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request, with what; `only` is the one execution or environment that a credential is for."""

    principal: Principal
    """Whose name it is done in; its role is no more than the credential allows."""
    kind: CredentialKind = "api"
    only: str = ""
    expires_at: float = 0.0
    """Seconds since 1970; 0 means never."""
    grant: str = ""
    """The id of the API token or share that lets the caller in."""
    validity: Validity = field(default_factory=Validity, compare=False, repr=False)
    """Streams that stay open end when it is over."""
    lent_by: Principal | None = None
    """Whose eyes a visitor has."""

    @property
    def may_change(self) -> bool:
        """Return whether anything may be changed at all."""
        return self.principal.role != "read"

    @property
    def sees_as(self) -> Principal:
        """Return whose eyes the caller has."""
        return self.lent_by or self.principal

    @property
    def powers(self) -> frozenset[Power]:
        """Return what the caller may do with an execution that he may see."""
        match self.kind:
            case "api" | "sign_in":
                return ALL if self.may_change else READS
            case "conversation":
                return READS | SAYS if self.may_change else READS
            case "share":
                return SAYS if self.may_change else frozenset({"see"})
            case _:
                return frozenset()

    def may(self, power: Power) -> bool:
        """Return whether the caller may do something with an execution that he may see."""
        return power in self.powers

    def visitor(self, execution: str) -> "Caller":
        """Return a visitor with a view-only share of the execution, to show what he would see."""
        return replace(self, principal=VISITOR, kind="share", only=execution, lent_by=self.principal)


VISITOR = Principal("", "user", "visitor", "read")


@dataclass(slots=True)
class Page:
    """The page that the query asks for; it wins over the body's."""

    token: str | None = None
    size: str | None = None


@dataclass(slots=True)
class Call:
    """One request; its fields are filled in on the way in and read by the access log on the way out."""

    request_id: str
    origin: str
    page: Page = field(default_factory=Page)
    caller: Caller | None = None
    peer: str = ""
    """The address that the connection comes from, whatever headers say."""
    client: str = ""
    """The address that the request comes from, as far as a proxy on this machine says it."""
    environment: str = ""
    code: str = ""
    execution: str = ""
    """The execution that the request is about, where its body names it."""
    subject: tuple[str, str] = ("", "")
    """(kind, id) of what a change is about."""
    named: str = ""
    """The name of what a change is about, where the audit log should have it."""
    entry: str = ""
    """The entry of the audit log that says that a change was asked for."""
    elsewhere: bool = False
    """Whether another process carried it out, which writes of it in the audit log."""
    admit: Callable[[Caller], Awaitable[None]] | None = None
    """What comes as soon as the caller is known, before anything else is done."""
    answered: Seen | None = None
    """The execution that is answered, where the answer follows from nothing else that changes."""

    @property
    def principal(self) -> Principal:
        """Return who calls."""
        assert self.caller is not None, "the edge authenticates before a service is called"
        return self.caller.principal

    def about(self, execution: str) -> None:
        """Note the execution that the request is about; lines of the log carry it from here on."""
        self.execution = execution
        bind_contextvars(execution=execution)

    @property
    def visited(self) -> bool:
        """Return whether a visitor calls."""
        return self.caller is not None and self.caller.kind == "share"


_current: ContextVar[Call] = ContextVar("call")


def begin(call: Call) -> None:
    """Make a call the current one of this task and of those it starts."""
    _current.set(call)


def current() -> Call:
    """Return the call that is being answered."""
    return _current.get()


def taken_back() -> bool:
    """Return whether what let the caller in was taken back since; for what stays open for long."""
    caller = current().caller
    return caller is not None and caller.validity.over


def check_validity() -> None:
    """Raise Unauthenticated when what let the caller in was taken back since."""
    if taken_back():
        raise Unauthenticated("what let you in was taken back")


def only_admins() -> None:
    """Raise PermissionDenied unless an administrator calls."""
    if not current().principal.admin:
        raise PermissionDenied("only an administrator may do this")


def meant_for(caller: Caller, subject: str, what: str) -> None:
    """Raise NotFound when a short token is for another execution or environment."""
    if caller.only and caller.only != subject:
        raise NotFound(f"there is no such {what}")


def among(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Return whether an address is of one of some networks; one of IPv4 in the clothes of IPv6 counts as itself."""
    try:
        given = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    plain = given.ipv4_mapped or given if isinstance(given, IPv6Address) else given
    return any(plain.version == network.version and plain in network for network in networks)
