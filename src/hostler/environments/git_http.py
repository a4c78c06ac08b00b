"""Git over https for environments, with a credential that stays outside.

Inside, git is configured to speak plain HTTP with `HOST.hostler.invalid` instead of TLS with HOST, for hosts that the
environment's creator has a credential for. Such requests end here: only those of git's own protocol are passed on,
over TLS with a checked certificate, with the credential added. Nothing that the host says but git's own answers gets
back inside, and no credential follows a redirect to another host.

Git LFS is not served: some hosts repeat the credential in their answers to it.
"""

import asyncio
import contextlib
import re
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn
from urllib.parse import urljoin, urlsplit

from hostler.core.hosts import Login
from hostler.core.projects import repository_key
from hostler.core.providers import RemoteRepository
from hostler.environments.credentials import GitLogins, Known

SUFFIX = ".hostler.invalid"
HTTPS = 443
CHUNK = 64 << 10
HEAD_LIMIT = 64 << 10
TLS_SECONDS = 30.0
ANSWER_SECONDS = 900.0
"""How long a host may think before its answer begins; a large push is indexed before it is answered."""
ABOUT = frozenset({"content-type", "content-encoding"})
TO_HOST = ABOUT | {"accept", "accept-language", "accept-encoding", "git-protocol", "user-agent"}
TO_GIT = ABOUT | {"content-length", "transfer-encoding", "cache-control"}
LENGTHS = ("content-length", "transfer-encoding")
_SIZE = {"content-length": re.compile(r"\d{1,15}", re.ASCII), "transfer-encoding": re.compile("chunked", re.IGNORECASE)}
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,12}")
REDIRECTS = frozenset({301, 302, 303, 307, 308})

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Reach = Callable[[str, int], Awaitable[Streams]]
"""Connects to a host and port that the environment may reach; what it raises says why not."""
_ASKS = re.compile(r"(?P<repository>/[^?#]+)/info/refs\?service=git-(?:upload|receive)-pack")
_DOES = re.compile(r"(?P<repository>/[^?#]+)/(?P<service>git-(?:upload|receive)-pack)")
_NAME = re.compile(r"[A-Za-z0-9-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_STRANGE = re.compile(r"[^!-~]|/\.\.?(?:/|$)|%2e|%2f|%5c|\\|//", re.IGNORECASE)


class GitRefusal(Exception):
    """What git is told instead of an answer; the text is for the person who reads the agent's output."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class GitRequest:
    """A request of git's smart protocol, as it came from inside."""

    method: Literal["GET", "POST"]
    host: str
    port: int
    path: str
    """With the query."""
    repository: str
    """The path of the repository."""
    fields: Mapping[str, str]
    """The header, names in small letters."""

    @property
    def where(self) -> str:
        """Return HOST, or HOST:PORT for another port than 443."""
        return self.host if self.port == HTTPS else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Return the repository's address."""
        return f"https://{self.where}{self.repository}"

    def head(self, login: Login | None) -> bytes:
        """Return the request as the host gets it."""
        kept = {name: value for name, value in self.fields.items() if name in TO_HOST}
        kept["host"] = self.where
        if login is not None:
            kept["authorization"] = f"Basic {b64encode(f'{login.user}:{login.secret}'.encode()).decode()}"
        for name in LENGTHS:
            if self.method == "POST" and name in self.fields:
                kept[name] = self.fields[name]
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in kept.items())]
        return "\r\n".join([*lines, "connection: close", "", ""]).encode("latin-1")


def is_git(host: str) -> bool:
    """Say whether a name means a host that git speaks with through here."""
    return host.endswith(SUFFIX)


def gitconfig(hosts: Sequence[str]) -> str:
    """Return the configuration by which git inside speaks with hosts (HOST or HOST:PORT) through here."""
    text = "# Git speaks with these hosts through Hostler, which adds the credential outside.\n"
    for where in hosts:
        host, _, port = where.partition(":")
        forms = [f"https://{where}/"]
        if not port:
            forms += [f"https://{host}:443/", f"git@{host}:", f"ssh://git@{host}/"]
        lines = "".join(f"\tinsteadOf = {form}\n" for form in forms)
        text += f'[url "http://{host}{SUFFIX}{f":{port}" if port else ""}/"]\n{lines}'
    return text


def git_request(method: str, address: str, lines: Sequence[str]) -> GitRequest:
    """Return what git asks for; raises GitRefusal for everything that is not git's smart protocol."""
    url = urlsplit(address)
    path = f"{url.path}?{url.query}" if url.query else url.path
    found = {"GET": _ASKS, "POST": _DOES}.get(method, _DOES).fullmatch(path)
    if method not in ("GET", "POST") or not found or _STRANGE.search(path):
        raise GitRefusal(403, "only git's fetch and push are served with a credential")
    fields = _header(lines)
    kind: Literal["GET", "POST"] = "GET" if method == "GET" else "POST"
    if kind == "POST":
        # Whatever the host has at this path, it is told that git speaks.
        fields["content-type"] = f"application/x-{found['service']}-request"
    host = (url.hostname or "").lower().rstrip(".").removesuffix(SUFFIX)
    return GitRequest(kind, host, url.port or HTTPS, path, found["repository"], fields)


def _header(lines: Sequence[str]) -> dict[str, str]:
    """Return the header; raises GitRefusal for one that a host could read in another way."""
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(name) or _CONTROL.search(value):
            raise GitRefusal(400, "the request's header makes no sense")
        if name.lower() in fields and name.lower() in LENGTHS:
            raise GitRefusal(400, "the request has two lengths")
        fields[name.lower()] = value.strip()
    if all(name in fields for name in LENGTHS):
        raise GitRefusal(400, "the request has two lengths")
    if any(name in fields and not _SIZE[name].fullmatch(fields[name]) for name in LENGTHS):
        raise GitRefusal(400, "the request's length makes no sense")
    return fields


class GitWay:
    """Passes git's requests on and puts credentials on them."""

    def __init__(self, logins: GitLogins, trust: ssl.SSLContext | None = None) -> None:
        self._logins = logins
        self._trust = trust or ssl.create_default_context()

    def config(self, subject: str) -> str:
        """Return the git configuration of the environments of a subject."""
        return gitconfig(self._logins.hosts(subject))

    async def serve(self, subject: str, near: Streams, request: GitRequest, reach: Reach) -> None:
        """Answer one request with the subject's credential, or without where there is none; raises GitRefusal."""
        used = self._logins.find(subject, request.where)
        far = await reach(request.host, request.port)
        try:
            await self._encrypted(far[1], request)
            far[1].write(request.head(used.login if used else None))
            sending = asyncio.ensure_future(_send(near[0], far[1], request))
            answering = asyncio.ensure_future(self._answer(near, far, request, used))
            try:
                await asyncio.wait({sending, answering}, return_when=asyncio.FIRST_COMPLETED)
                if answering.done():
                    answering.result()
            finally:
                await _ended(sending, answering)
        finally:
            far[1].transport.abort()

    async def _encrypted(self, writer: asyncio.StreamWriter, request: GitRequest) -> None:
        try:
            async with asyncio.timeout(TLS_SECONDS):
                await writer.start_tls(self._trust, server_hostname=request.host)
        except ssl.SSLCertVerificationError as error:
            said = f"the certificate of {request.where} is not trusted: {error.verify_message}"
            raise GitRefusal(502, said) from error
        except (OSError, TimeoutError) as error:
            raise GitRefusal(502, f"no encrypted connection to {request.where} can be made") from error

    async def _answer(self, near: Streams, far: Streams, request: GitRequest, used: Known | None) -> None:
        """Pass git's answer on; everything else is told in our own words."""
        async with asyncio.timeout(ANSWER_SECONDS):
            status, fields = await _read_head(far[0])
        if status == 203:
            status = 401  # Azure DevOps answers so, with a page to sign in.
        key = repository_key(RemoteRepository(request.url))
        if status in REDIRECTS:
            await _redirect(near[1], status, fields.get("location", ""), request)
            return
        if status in (200, 401):
            self._logins.note(request.where, key, used, accepted=status == 200)
        if status != 200:
            _refuse(status, request, used)
        if not fields.get("content-type", "").startswith("application/x-git-"):
            raise GitRefusal(502, f"{request.url} answered with something that is not git")
        kept = [f"{name}: {value}" for name, value in fields.items() if name in TO_GIT]
        near[1].write("\r\n".join(["HTTP/1.1 200 OK", *kept, "connection: close", "", ""]).encode("latin-1"))
        while data := await far[0].read(CHUNK):
            near[1].write(data)
            await near[1].drain()


def _refuse(status: int, request: GitRequest, used: Known | None) -> NoReturn:
    """Say what a host's refusal means."""
    where = request.where
    if status == 401 and used is None:
        raise GitRefusal(
            403, f"not authenticated: {request.url} asks for a credential; store one with `hostler secret set {where}`"
        )
    if status == 401:
        raise GitRefusal(
            403, f"not authenticated: {where} refused the credential; replace it with `hostler secret set {where}`"
        )
    if status == 403:
        what = "the credential does not allow this" if used else "this is not allowed without a credential"
        raise GitRefusal(403, f"not authenticated for this: {where} says that {what} ({request.url})")
    if status == 404:
        raise GitRefusal(404, f"there is no repository at {request.url}, or the credential does not show it")
    raise GitRefusal(502, f"{where} answered with status {status}")


async def _redirect(writer: asyncio.StreamWriter, status: int, location: str, request: GitRequest) -> None:
    """Let git follow to another path of the same host; raises GitRefusal for other hosts."""
    try:
        url = urlsplit(urljoin(f"https://{request.where}{request.path}", location))
        same = (url.scheme, (url.hostname or "").lower(), url.port or HTTPS) == ("https", request.host, request.port)
    except ValueError:
        same, url = False, urlsplit("")
    if not same or _STRANGE.search(url.path):
        shown = f" to {url.hostname}" if url.hostname and re.fullmatch(r"[\w.-]+", url.hostname) else ""
        raise GitRefusal(
            403, f"{request.url} leads elsewhere{shown}; no credential is sent there, use the new address itself"
        )
    port = "" if request.port == HTTPS else f":{request.port}"
    target = f"http://{request.host}{SUFFIX}{port}{url.path}{f'?{url.query}' if url.query else ''}"
    if not re.fullmatch(r"[!-~]+", target):
        raise GitRefusal(502, f"{request.where} answered with a redirect that makes no sense")
    head = f"HTTP/1.1 {status} Moved\r\nlocation: {target}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    writer.write(head.encode())
    await writer.drain()


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Return status and header of an answer, the interim ones left out; raises GitRefusal."""
    for _ in range(10):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip("\r\n").split("\r\n")
            status = int(first.split(" ", 2)[1])
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError) as error:
            raise GitRefusal(502, "the host's answer makes no sense") from error
        if status >= 200:
            pairs = (line.partition(":") for line in lines)
            return status, {name.strip().lower(): value.strip() for name, _, value in pairs}
    raise GitRefusal(502, "the host does not come to an answer")


async def _send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: GitRequest) -> None:
    """Pass on exactly the body of a request, so that nothing can be sent behind it; return when git has hung up."""
    # A host that has heard enough answers and hangs up; then its answer is what counts.
    with contextlib.suppress(ConnectionError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        if request.method == "POST" and "transfer-encoding" in request.fields:
            await _send_chunks(reader, writer)
        elif request.method == "POST":
            await _send_bytes(reader, writer, int(request.fields.get("content-length", "0")))
    with contextlib.suppress(ConnectionError):
        while await reader.read(CHUNK):
            pass


async def _send_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int) -> None:
    while left > 0 and (data := await reader.read(min(left, CHUNK))):
        left -= len(data)
        writer.write(data)
        await writer.drain()


async def _send_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    size = 1
    while size:
        line = await reader.readuntil(b"\r\n")
        told = line.split(b";", 1)[0].strip()
        if not _CHUNK_SIZE.fullmatch(told):
            raise ValueError("a chunk without a size")
        size = int(told, 16)
        writer.write(b"%x\r\n" % size)
        await _send_bytes(reader, writer, size)
        if await reader.readexactly(2) != b"\r\n":
            raise ValueError("a chunk is longer than it says")
        writer.write(b"\r\n")
        await writer.drain()


async def _ended(*tasks: asyncio.Future[None]) -> None:
    """Cancel tasks and wait until they are done."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
