"""The way out to a provider: its address, the real key, and one streamed request through a pool with room."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2

from hostler.models.gateway.refusals import away
from hostler.models.pools import CONNECT_SECONDS, Pools
from hostler.models.settings import Opening

SILENCE_SECONDS = 900.0
"""Without a byte from the provider; a model may think for long before it says the first one."""
TIMEOUT = httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS)

_SENT = frozenset(
    (
        *("accept", "user-agent", "anthropic-version", "anthropic-beta", "openai-beta", "originator", "version"),
        *("session_id", "session-id", "conversation_id", "conversation-id", "thread-id", "x-client-request-id"),
    )
)
_RETURNED = frozenset(
    (
        *("content-type", "retry-after", "retry-after-ms", "x-should-retry", "request-id", "x-request-id"),
        *("openai-model", "openai-version", "openai-processing-ms", "x-reasoning-included"),
    )
)
_RETURNED_PREFIXES = ("x-ratelimit-", "anthropic-ratelimit-", "x-codex-")
_QUERIES = ("", "beta=true")


@dataclass(frozen=True, slots=True)
class Family:
    """Where a provider is and how it is told the key; its base URL ends before `/v1` or behind it."""

    key_variable: str
    url_variable: str
    url: str
    key_header: str
    needs_key: bool = True
    inside_v1: bool = True


_OPENAI = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "https://api.openai.com/v1", "authorization")
FAMILIES: Mapping[str, Family] = {
    "anthropic": Family(
        "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "https://api.anthropic.com", "x-api-key", inside_v1=False
    ),
    "openai-responses": Family(*_OPENAI),
    "openai-chat": Family(*_OPENAI, needs_key=False),
}


@dataclass(frozen=True, slots=True)
class Target:
    """One provider as it is configured for one model."""

    name: str
    url: str
    key: str
    headers: Mapping[str, str]
    inside_v1: bool


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is sent to a provider."""

    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back: headers that may be passed on, and the body in the pieces in which it arrives."""

    status: int
    headers: list[tuple[str, str]]
    chunks: AsyncIterator[bytes]

    @property
    def streams(self) -> bool:
        """Say whether the body is a stream of events."""
        kind = next((value for name, value in self.headers if name == "content-type"), "")
        return kind.partition(";")[0].strip().lower() == "text/event-stream"


def target_of(opening: Opening) -> Target:
    """Return where a model is; FailedPrecondition when it is not configured."""
    family = FAMILIES[opening.provider]
    configured = opening.base_url(family.url_variable)
    optional = None if family.needs_key or not configured else ""
    key = opening.api_key(family.key_variable, unless=optional)
    bearer = f"Bearer {key}" if family.key_header == "authorization" else key
    url = (configured or family.url).rstrip("/")
    return Target(opening.name, url, key, {family.key_header: bearer} if key else {}, family.inside_v1)


class Upstreams:
    """Connections to providers, shared by all environments."""

    def __init__(self) -> None:
        self._pools = Pools[httpx2.AsyncClient](lambda client: client)

    @asynccontextmanager
    async def open(self, target: Target, outgoing: Outgoing) -> AsyncGenerator[Answer]:
        """Send a request and yield the answer as soon as its head is there; Refusal when there is none."""
        path = outgoing.path.removeprefix("/v1") if target.inside_v1 else outgoing.path
        query = f"?{outgoing.query}" if outgoing.query in _QUERIES[1:] else ""
        headers = {name: value for name, value in outgoing.headers.items() if name in _SENT}
        own = {"content-type": "application/json", "accept-encoding": "identity", **target.headers}
        async with self._pools.lease() as client:
            request = client.build_request(
                "POST", f"{target.url}{path}{query}", headers={**headers, **own}, content=outgoing.body, timeout=TIMEOUT
            )
            try:
                response = await client.send(request, stream=True, follow_redirects=False)
            except httpx2.TimeoutException as problem:
                connecting = isinstance(problem, httpx2.ConnectTimeout | httpx2.PoolTimeout)
                raise away(503 if connecting else 504, "the model provider does not answer") from problem
            except (httpx2.ConnectError, httpx2.ProxyError) as problem:
                raise away(503, "the model provider cannot be reached") from problem
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as problem:
                raise away(502, "the connection to the model provider broke") from problem
            try:
                yield Answer(response.status_code, _returned(response.headers), response.aiter_bytes())
            finally:
                await response.aclose()

    async def close(self) -> None:
        """Close all connections."""
        await self._pools.close()


def _returned(headers: httpx2.Headers) -> list[tuple[str, str]]:
    return [
        (name.lower(), value)
        for name, value in headers.items()
        if name.lower() in _RETURNED or name.lower().startswith(_RETURNED_PREFIXES)
    ]
