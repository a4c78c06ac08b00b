"""One call of a code host's API: over TLS, with the credential of the environment's creator, by its egress rules.

No redirect is followed, so that a credential goes nowhere else, and nothing of the credential is in an answer.
"""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import h11

from hostler.core.egress import split_port
from hostler.core.forges import CredentialNeeded, ForgeRefused, ForgeUnknown, Missing
from hostler.environments.credentials import GitLogins, Known
from hostler.environments.egress import Refusal, Target

Json = Mapping[str, Any]
HTTPS = 443
SECONDS = 30.0
"""How long one call may take, connection and all."""
LARGEST = 4 << 20
"""Bytes of an answer that are read."""
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
OnBehalf = Callable[[str, Target, Target], Awaitable[Streams]]
"""Connects for (environment, host, host of its API); raises Refusal."""
SubjectOf = Callable[[str], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Said:
    """What an API answered: one object or a list of them; neither where it was no JSON."""

    status: int
    body: Json | None = None
    rows: tuple[Json, ...] | None = None

    @property
    def ok(self) -> bool:
        """Return whether it did what was asked."""
        return 200 <= self.status < 300

    @property
    def reason(self) -> str:
        """Return why it did not, in its own words, bounded."""
        body = self.body or {}
        words = [str(body[key]) for key in ("message", "error", "error_description", "errors") if body.get(key)]
        return f"status {self.status}{': ' if words else ''}{'; '.join(words)[:500]}"


def target_of(url: str) -> Target:
    """Return host and port of an https address; raises ForgeRefused for anything else."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port or HTTPS
    except ValueError:
        host, port, parts = "", 0, urlsplit("")
    if parts.scheme != "https" or not host:
        raise ForgeRefused(f"{url[:200]} is no https address; credentials are sent over TLS only")
    return Target(host, port)


class ForgeHttp:
    """Calls APIs of code hosts for environments."""

    def __init__(
        self,
        runner: str,
        logins: GitLogins,
        on_behalf: OnBehalf,
        subject_of: SubjectOf,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._logins = logins
        self._runner = runner
        self._on_behalf = on_behalf
        self._subject_of = subject_of
        self._trust = trust or ssl.create_default_context()

    async def missing(self, environment: str, host: str) -> Missing:
        """Return what a host that refused an environment waits for."""
        subject = await self._subject_of(environment)
        return Missing(host, subject, self._logins.version(subject, host), self._runner)

    async def known(self, environment: str, host: str) -> Known | None:
        """Return the credential of an environment's creator for a host."""
        return self._logins.find(await self._subject_of(environment), host)

    async def call(
        self,
        environment: str,
        host: str,
        url: str,
        method: Literal["GET", "POST"] = "GET",
        body: Mapping[str, Any] | None = None,
    ) -> Said:
        """Call `url` for `host` (HOST or HOST:PORT); raises ForgeRefused when nothing was sent, else ForgeUnknown."""
        name, port = split_port(host)
        used = await self.known(environment, host)
        if used is None and method == "POST":
            raise await self.needed(environment, host, f"not authenticated: there is no credential for {host}")
        api = target_of(url)
        try:
            async with asyncio.timeout(SECONDS):
                reader, writer = await self._on_behalf(environment, Target(name, port or HTTPS), api)
        except (Refusal, OSError, TimeoutError) as problem:
            raise ForgeRefused(f"{api.host} cannot be reached: {problem or 'no answer in time'}") from problem
        try:
            said = await self._exchange((reader, writer), api, url, method, used, body)
        finally:
            writer.transport.abort()
        if said.status == 401:
            reason = "refused the credential" if used else "asks for a credential"
            raise await self.needed(environment, host, f"not authenticated: {host} {reason}")
        return said

    async def needed(self, environment: str, host: str, said: str) -> CredentialNeeded:
        """Return the refusal for want of a credential."""
        missing = await self.missing(environment, host)
        return CredentialNeeded(f"{said}; store one with `hostler secret set {host}`", missing)

    async def _exchange(
        self,
        streams: Streams,
        api: Target,
        url: str,
        method: str,
        used: Known | None,
        body: Mapping[str, Any] | None,
    ) -> Said:
        try:
            async with asyncio.timeout(SECONDS):
                await streams[1].start_tls(self._trust, server_hostname=api.host)
        except (ssl.SSLError, OSError, TimeoutError) as problem:
            raise ForgeRefused(f"no encrypted connection to {api} can be made: {problem}") from problem
        try:
            async with asyncio.timeout(SECONDS):
                return await _asked(streams, _request(api, url, method, used, body), body)
        except (OSError, TimeoutError, h11.RemoteProtocolError, asyncio.IncompleteReadError) as problem:
            reason = str(problem) or "no answer in time"
            raise ForgeUnknown(f"{api.host} was asked and the answer is not known: {reason}") from problem


def _request(api: Target, url: str, method: str, used: Known | None, body: Mapping[str, Any] | None) -> h11.Request:
    parts = urlsplit(url)
    shown = api.host if api.port == HTTPS else f"{api.host}:{api.port}"
    headers = [
        ("Host", shown),
        ("Accept", "application/json"),
        ("User-Agent", "hostler"),
        ("Connection", "close"),
    ]
    if used is not None:
        headers.append(("Authorization", f"Bearer {used.login.secret}"))
    if body is not None:
        headers += [("Content-Type", "application/json"), ("Content-Length", str(len(_encoded(body))))]
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return h11.Request(method=method, target=target, headers=headers)


def _encoded(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body).encode()


async def _asked(streams: Streams, request: h11.Request, body: Mapping[str, Any] | None) -> Said:
    reader, writer = streams
    connection = h11.Connection(h11.CLIENT)
    sent = [connection.send(request)]
    if body is not None:
        sent.append(connection.send(h11.Data(data=_encoded(body))))
    sent.append(connection.send(h11.EndOfMessage()))
    writer.write(b"".join(part for part in sent if part))
    await writer.drain()
    status, data = 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(64 << 10))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            data += event.data
            if len(data) > LARGEST:
                raise OSError("the answer is too long")
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            break
    if not status:
        raise OSError("the connection was closed")
    return _said(status, bytes(data))


def _said(status: int, data: bytes) -> Said:
    try:
        found: Any = json.loads(data.decode())
    except ValueError:
        return Said(status)
    if isinstance(found, list):
        rows = cast("list[Any]", found)
        return Said(status, rows=tuple(cast("Json", one) for one in rows if isinstance(one, dict)))
    return Said(status, cast("Json", found) if isinstance(found, dict) else None)
