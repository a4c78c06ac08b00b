"""The only way out of an environment: an HTTP proxy on a Unix socket, which decides by host name and by address.

Names are resolved here, every address is checked, and the checked address is dialled, so a name cannot change its
meaning between the check and the connection. Private and local addresses are refused unless the host is listed as
private.
"""

import asyncio
import contextlib
import ipaddress
import os
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from hostler.core.egress import WEB_PORTS, matches, split_port
from hostler.core.providers import NetworkPolicy
from hostler.environments.channel import reachable
from hostler.environments.git_http import GitRefusal, GitRequest, GitWay, git_request, is_git

HEAD_LIMIT = 64 << 10
HEAD_SECONDS = 60.0
DIAL_SECONDS = 20.0
CHUNK = 64 << 10
MOST_CONNECTIONS = 128
"""Of one environment at a time; each costs the server two descriptors, which hostile code could use up otherwise."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Resolve = Callable[[str, int], Awaitable[list[str]]]
OnRefusal = Callable[[str, str, str], None]
"""Told (environment, host:port, reason)."""
More = Callable[[str], Awaitable[Sequence[str]]]
"""Returns what an environment may reach right now beyond its policy, in the policy's own form."""
Denied = Callable[[str, int], bool]
"""Says whether no environment may reach a host and port, whatever allows it."""


class Refusal(Exception):
    """A connection that is not made; the text is for the person who reads the agent's output."""

    def __init__(self, reason: str, status: int = 403) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Target:
    """Where a client inside wants to go."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def matches(self, pattern: str, ports: tuple[int, ...]) -> bool:
        """Say whether `HOST`, `*.SUFFIX`, either with `:PORT`, means this target; without a port, `ports` are meant."""
        return matches(pattern, self.host, self.port, ports)


def permit(target: Target, policy: NetworkPolicy) -> bool:
    """Say whether the target may resolve to a private address; raises Refusal when it may not be reached at all."""
    private = any(target.matches(pattern, ()) for pattern in policy.private)
    allowed = private or any(target.matches(pattern, WEB_PORTS) for pattern in policy.allow)
    if not allowed and not (policy.open and target.port in WEB_PORTS):
        raise Refusal(f"{target} is not on this environment's list of allowed hosts.")
    return private


def check_address(address: str) -> None:
    """Raise Refusal unless the address is a public one."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    meant = [parsed, *(_embedded(parsed) if isinstance(parsed, ipaddress.IPv6Address) else ())]
    local = any(parsed in network for network in _LOCAL)
    if local or parsed.is_multicast or not all(one.is_global for one in meant):
        raise Refusal(f"it resolves to {address}, which is not a public address; list the host in private_hosts.")


def _embedded(address: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """Return the addresses that an IPv6 one is only another spelling of, for gateways that translate."""
    known = [one for one in (address.ipv4_mapped, address.sixtofour) if one is not None]
    if any(address in network for network in _TRANSLATED):
        known.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return known


_TRANSLATED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")))
_LOCAL = tuple(map(ipaddress.IPv6Network, ("fec0::/10", "64:ff9b:1::/48", "5f00::/16")))
"""Local by their standards, whatever this Python thinks of them."""


async def system_resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a name, in the order in which to try them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class Upstream:
    """The proxy that this server itself must use, as its HTTPS_PROXY and NO_PROXY say."""

    url: SplitResult | None
    direct: tuple[str, ...] = ()

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> "Upstream":
        """Read the usual variables, either spelling."""
        found = {name.lower(): value for name, value in variables.items() if value}
        proxy = found.get("https_proxy") or found.get("http_proxy") or found.get("all_proxy")
        names = tuple(name.strip().lower() for name in found.get("no_proxy", "").split(",") if name.strip())
        return cls(urlsplit(proxy if "//" in proxy else f"http://{proxy}") if proxy else None, names)

    def used_for(self, target: Target) -> bool:
        """Say whether the target is reached through it."""
        if self.url is None or "*" in self.direct:
            return False
        bare = (name.lstrip("*").lstrip(".") for name in self.direct)
        return not any(target.matches(name, ()) or target.matches(f"*.{name}", ()) for name in bare)


SubjectOf = Callable[[str], Awaitable[str]]
"""Returns whose credentials an environment uses; empty: nobody's."""
GIT_CONFIG = "gitconfig"
"""The file beside the socket that git inside reads."""


async def nobody(_: str) -> str:
    """Return nobody, for every environment."""
    return ""


async def nothing(_: str) -> Sequence[str]:
    """Return that nothing more is allowed, for every environment."""
    return ()


def never(_: str, __: int) -> bool:
    """Return that no host is denied to everybody."""
    return False


class Egress:
    """Serves one proxy socket per environment; implements `folders.Ways`."""

    def __init__(
        self,
        upstream: Upstream | None = None,
        *,
        on_refusal: OnRefusal = lambda environment, target, reason: None,
        resolve: Resolve = system_resolve,
        git: GitWay | None = None,
        subject_of: SubjectOf = nobody,
        more: More = nothing,
        denied: Denied = never,
    ) -> None:
        self._upstream = upstream or Upstream(None)
        self._on_refusal = on_refusal
        self._resolve = resolve
        self._servers: dict[str, asyncio.Server] = {}
        self._refused: dict[str, str] = {}
        self._serving: dict[str, set[asyncio.Task[None]]] = {}
        self._git = git
        self._subject_of = subject_of
        self._more = more
        self._denied = denied
        self._subjects: dict[str, tuple[str, Path]] = {}
        self._policies: dict[str, NetworkPolicy] = {}

    async def open(self, environment: str, folder: Path, uid: int, policy: NetworkPolicy) -> None:
        """Serve `folder`/egress.sock; a server before us may have left a socket there, which nobody answers."""
        self._policies[environment] = policy
        if environment in self._servers:
            return
        if self._git:
            self._subjects[environment] = (await self._subject_of(environment), folder)
            self._configure(environment)
        path = folder / "egress.sock"
        path.unlink(missing_ok=True)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving = self._serving.setdefault(environment, set())
            if len(serving) >= MOST_CONNECTIONS:
                await _refuse(writer, 503, "too many connections at a time.")
                writer.close()
                return
            task = asyncio.ensure_future(self._serve(environment, policy, (reader, writer)))
            serving.add(task)
            task.add_done_callback(serving.discard)
            await asyncio.wait({task})

        with reachable(path) as name:
            server = await asyncio.start_unix_server(serve, name, limit=HEAD_LIMIT)
        if uid >= 0:
            os.chown(path, uid, uid)
        path.chmod(0o600)
        self._servers[environment] = server

    async def close(self, environment: str) -> None:
        """Serve no more; connections under way are cut."""
        self._refused.pop(environment, None)
        self._policies.pop(environment, None)
        self._subjects.pop(environment, None)
        server = self._servers.pop(environment, None)
        if server:
            server.close()
        cut = self._serving.pop(environment, set())
        for task in cut:
            task.cancel()
        if cut:
            await asyncio.wait(cut)

    async def connect(self, environment: str, host: str, port: int) -> Streams:
        """Connect for an environment, as if from inside: by its rules, and a refusal is told. Raises Refusal."""
        target = target_of("CONNECT", f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        if (policy := self._policies.get(environment)) is None:
            raise Refusal("the environment does not run.", 503)
        try:
            return await self._reach(environment, target, policy)
        except Refusal as refusal:
            if refusal.status == 403:
                self._on_refusal(environment, str(target), str(refusal))
            raise

    def changed(self, subject: str) -> None:
        """Tell git in the environments of a subject which hosts it has credentials for now."""
        for environment in [one for one, (whose, _) in self._subjects.items() if whose == subject]:
            self._configure(environment)

    def _configure(self, environment: str) -> None:
        subject, folder = self._subjects[environment]
        fresh = folder / f".{GIT_CONFIG}.new"
        with contextlib.suppress(FileNotFoundError):  # The environment is being removed.
            fresh.write_text(self._git.config(subject) if self._git else "")
            fresh.chmod(0o644)
            fresh.replace(folder / GIT_CONFIG)

    def last_refusal(self, environment: str) -> str | None:
        """Return what was refused last, for whoever must explain why a clone failed."""
        return self._refused.get(environment)

    async def close_all(self) -> None:
        """Serve nobody any more."""
        for environment in list(self._servers):
            await self.close(environment)

    async def _serve(self, environment: str, policy: NetworkPolicy, near: Streams) -> None:
        wanted = "?"
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                head = await near[0].readuntil(b"\r\n\r\n")
            method, address, version, fields = parse_head(head)
            target = target_of(method, address)
            wanted = str(target)
            if self._git and method != "CONNECT" and is_git(target.host):
                request = git_request(method, address, fields)
                wanted = f"{request.host}:{request.port}"
                await self._speak_git(environment, policy, near, request)
                return
            far = await self._reach(environment, target, policy)
            try:
                if method == "CONNECT":
                    near[1].write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    back = _copy(far[0], near[1])
                else:
                    far[1].write(request_head(method, address, version, fields))
                    back = _answer(far[0], near[1])
                await asyncio.gather(_copy(near[0], far[1]), back)
            finally:
                far[1].transport.abort()
        except Refusal as refusal:
            if refusal.status == 403:
                self._on_refusal(environment, wanted, str(refusal))
            self._refused[environment] = f"{wanted}: {refusal}"
            await _refuse(near[1], refusal.status, f"{wanted}: {refusal}")
        except GitRefusal as refusal:
            await _refuse(near[1], refusal.status, str(refusal))
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            near[1].close()

    async def _speak_git(self, environment: str, policy: NetworkPolicy, near: Streams, request: GitRequest) -> None:
        async def reach(host: str, port: int) -> Streams:
            return await self._reach(environment, Target(host, port), policy)

        subject, _ = self._subjects.get(environment, ("", None))
        if self._git:
            await self._git.serve(subject, near, request, reach)

    async def _permit(self, environment: str, target: Target, policy: NetworkPolicy) -> bool:
        """Do as `permit`; what somebody has allowed since counts at once, and is looked up where nothing else helps."""
        if self._denied(target.host, target.port):
            raise Refusal(f"{target} is denied by the organization's policy.")
        try:
            return permit(target, policy)
        except Refusal:
            more = await self._more(environment)
            return permit(target, replace(policy, allow=tuple(more)))

    async def _reach(self, environment: str, target: Target, policy: NetworkPolicy) -> Streams:
        """Connect to a target that is allowed; raises Refusal."""
        return await self._dialled(target, await self._permit(environment, target, policy))

    async def _dialled(self, target: Target, private: bool) -> Streams:
        """Connect to a target, whose address has to be public unless it is a private one; raises Refusal."""
        if self._upstream.used_for(target):
            return await self._through_upstream(target, private)
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                addresses = await self._resolve(target.host, target.port)
        except (OSError, TimeoutError, UnicodeError) as error:
            raise Refusal(f"the name {target.host} cannot be resolved.", 502) from error
        if not private:
            for address in addresses:
                check_address(address)
        return await _dial(addresses, target.port)

    async def reach(self, target: Target, private: tuple[str, ...]) -> Streams:
        """Connect to a target for the server itself, such as a webhook's; raises Refusal unless its address is public
        or it is among the `private` hosts."""
        if self._denied(target.host, target.port):
            raise Refusal(f"{target} is denied by the organization's policy.")
        return await self._dialled(target, any(target.matches(pattern, ()) for pattern in private))

    async def permitted(self, environment: str, target: Target) -> None:
        """Raise Refusal unless an environment may reach a target."""
        await self._permit(environment, target, self._policies.get(environment, NetworkPolicy()))

    async def on_behalf(self, environment: str, host: Target, api: Target) -> Streams:
        """Connect to the API of a host that an environment may reach; raises Refusal.

        The API may have another name than its host; its address is checked by the same rules.
        """
        policy = self._policies.get(environment, NetworkPolicy())
        private = await self._permit(environment, host, policy) and host.host == api.host
        allow = (*policy.allow, str(api))
        return await self._reach(
            environment, api, NetworkPolicy(allow, (*policy.private, *((str(api),) if private else ())))
        )

    async def _through_upstream(self, target: Target, private: bool) -> Streams:
        """Have the server's own proxy connect. It resolves names itself; an address is still checked here."""
        if not private:
            with contextlib.suppress(ValueError):
                check_address(target.host)
            with contextlib.suppress(OSError):  # Old spellings, such as 127.1 or one large number.
                check_address(socket.inet_ntoa(socket.inet_aton(target.host)))
        url = self._upstream.url
        if url is None or not url.hostname:
            raise Refusal("the server's own proxy has no host.", 502)
        far = await _dial([url.hostname], url.port or WEB_PORTS[0])
        name = f"[{target.host}]:{target.port}" if ":" in target.host else str(target)
        lines = [f"CONNECT {name} HTTP/1.1", f"Host: {name}"]
        if url.username:
            lines.append(f"Proxy-Authorization: Basic {_basic(url)}")
        try:
            far[1].write("\r\n".join([*lines, "", ""]).encode())
            async with asyncio.timeout(DIAL_SECONDS):
                answer = await far[0].readuntil(b"\r\n\r\n")
        except BaseException:
            far[1].transport.abort()
            raise
        if answer.split(b" ", 2)[1:2] != [b"200"]:
            far[1].transport.abort()
            raise Refusal(f"the server's own proxy said: {answer.splitlines()[0].decode(errors='replace')}", 502)
        return far


def _basic(url: SplitResult) -> str:
    from base64 import b64encode
    from urllib.parse import unquote

    return b64encode(f"{unquote(url.username or '')}:{unquote(url.password or '')}".encode()).decode()


async def _dial(addresses: list[str], port: int) -> Streams:
    """Connect to the first address that answers; raises Refusal."""
    reason = "it has no address"
    for address in addresses:
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                return await asyncio.open_connection(address, port, limit=HEAD_LIMIT)
        except (OSError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
    raise Refusal(f"no connection: {reason}", 502)


def parse_head(head: bytes) -> tuple[str, str, str, list[str]]:
    """Return method, address, version and header lines of a request; raises Refusal for anything else."""
    try:
        first, *fields = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, address, version = first.split(" ")
    except ValueError as error:
        raise Refusal("not an HTTP request", 400) from error
    if not version.startswith("HTTP/1."):
        raise Refusal("not an HTTP request", 400)
    return method, address, version, fields


def target_of(method: str, address: str) -> Target:
    """Return where a request goes; raises Refusal when it does not say."""
    scheme = "http"
    try:
        if method == "CONNECT":
            host, port = split_port(address)
        else:
            url = urlsplit(address)
            scheme, host, port = url.scheme, url.hostname or "", url.port or 80
    except ValueError as error:
        raise Refusal("not an address", 400) from error
    if scheme != "http":
        raise Refusal("only http addresses and CONNECT are served", 400)
    host = host.lower().rstrip(".")
    # What is passed on to another proxy, or shown to people, may hold no line ends nor other surprises.
    if not _HOST.fullmatch(host) or port is None or not 0 < port < 1 << 16:
        raise Refusal("not an address", 400)
    return Target(host, port)


def request_head(method: str, address: str, version: str, fields: list[str]) -> bytes:
    """Return the request as the target expects it: its own path, and no second request on this connection."""
    url = urlsplit(address)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    kept = [line for line in fields if line.partition(":")[0].strip().lower() not in _HOP]
    return "\r\n".join([f"{method} {path} {version}", *kept, "Connection: close", "", ""]).encode("latin-1")


def answer_head(head: bytes) -> bytes:
    """Return the head of an answer as the client may believe it: nothing more is answered on this connection.

    Whoever was asked to close need not say that he will (RFC 9112, 9.6), and a client that keeps the connection for
    its next request loses that one.
    """
    first, *fields = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    kept = [line for line in fields if line.partition(b":")[0].strip().lower().decode("latin-1") not in _HOP]
    return b"\r\n".join([first, *kept, b"Connection: close", b"", b""])


_INTERIM = re.compile(rb"HTTP/1\.\d 1(?!01)\d\d")
_HOST = re.compile(r"[a-z0-9_.:-]{1,253}")
_HOP = {"proxy-connection", "proxy-authorization", "connection", "keep-alive"}


async def _refuse(writer: asyncio.StreamWriter, status: int, text: str) -> None:
    reasons = {400: "Bad Request", 403: "Forbidden", 404: "Not Found", 502: "Bad Gateway", 503: "Service Unavailable"}
    body = f"hostler egress: {text}\n".encode()
    head = f"HTTP/1.1 {status} {reasons[status]}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    # Clients show the reason of a refused CONNECT in a header or not at all; the body serves those that look.
    head += f"X-Hostler-Refused: {text.encode('ascii', 'replace').decode()}\r\nConnection: close\r\n\r\n"
    with contextlib.suppress(OSError):
        writer.write(head.encode() + body)
        await writer.drain()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy the answer to one request, after which the connection ends; what is no HTTP is copied as it is."""
    with contextlib.suppress(OSError, asyncio.LimitOverrunError):
        try:
            while _INTERIM.match(head := await reader.readuntil(b"\r\n\r\n")):
                writer.write(head)
            writer.write(answer_head(head))
        except asyncio.IncompleteReadError as rest:
            writer.write(rest.partial)
    await _copy(reader, writer)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        if writer.can_write_eof():
            writer.write_eof()
