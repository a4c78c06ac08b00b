"""OpenID Connect: the authorization code flow with PKCE, as a client with a secret.

What the provider says of a person is believed only when its ID token is signed by a key that the provider publishes
now, is meant for us, was asked for by this browser's attempt (state and nonce) and has not expired. An attempt is used
up by coming back, whatever comes of it.
"""

import hmac
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any, cast
from urllib.parse import quote, urlencode

import httpx2
import jwt
import structlog
from jwt.types import Options

from hostler.api.auth import hashed
from hostler.core.ambient import Ambient
from hostler.core.errors import Unauthenticated, Unavailable
from hostler.core.outside import ATTEMPT, Attempt, Attempts, Known, Provider

log = structlog.get_logger(__name__)

SIGNED_WITH = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Only what a key of the provider's own signs: a secret that we share proves nothing, and `none` less."""
UNCLOCKED: Options = {
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "require": ["iss", "sub", "aud", "exp", "iat"],
}
"""Time is judged by our own clock."""
LEEWAY = 60.0
"""Seconds that the provider's clock may be off."""
KEPT = timedelta(hours=1)
"""How long what the provider publishes is kept."""
AGAIN = timedelta(seconds=10)
"""How soon keys are asked for again because one is missing."""
TIMEOUT = 10.0
LARGEST = 1 << 20
REFUSED = "signing in there did not work"
Json = Mapping[str, Any]


@dataclass(slots=True)
class _Published:
    """What the provider says of itself, and when it was asked."""

    about: Json
    keys: dict[str, jwt.PyJWK]
    at: float
    keys_at: float


class OpenIdConnect:
    """Sends people to a provider and understands what they bring back."""

    def __init__(self, provider: Provider, attempts: Attempts, ambient: Ambient) -> None:
        self._provider = provider
        self._attempts = attempts
        self._ambient = ambient
        self._published: _Published | None = None

    async def begin(self, callback: str, path: str) -> tuple[str, str]:
        """Return where to send somebody, and the secret that his browser brings back as a cookie.

        Unavailable when the provider does not answer.
        """
        about = (await self._about()).about
        state, browser, nonce, verifier = (self._ambient.token() for _ in range(4))
        now = self._ambient.now()
        attempt = Attempt(hashed(state), hashed(browser), nonce, verifier, path, now + ATTEMPT)
        await self._attempts.add(attempt, now)
        challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "response_type": "code",
            "client_id": self._provider.client_id,
            "redirect_uri": callback,
            "scope": " ".join(dict.fromkeys(("openid", *self._provider.scopes))),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        address = str(about["authorization_endpoint"])
        return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}", browser

    async def finish(self, callback: str, query: Mapping[str, str], browser: str) -> tuple[Known, str]:
        """Return who came back and where he wanted to go; Unauthenticated with the reason when it is not believed."""
        attempt = await self._attempts.take(hashed(query.get("state", "")))
        if attempt is None or attempt.expires_at <= self._ambient.now():
            raise Unauthenticated("this attempt to sign in is over; begin again")
        if not browser or not hmac.compare_digest(hashed(browser), attempt.browser):
            raise Unauthenticated("this attempt to sign in was begun in another browser; begin again")
        if query.get("iss", self._provider.issuer) != self._provider.issuer:
            raise Unauthenticated("another provider than ours sent this")
        if query.get("error") or not query.get("code"):
            log.warning("a provider refused a sign-in", error=query.get("error", "")[:100])
            raise Unauthenticated(REFUSED)
        token = await self._exchange(callback, query["code"], attempt.verifier)
        claims = await self._believed(token, attempt.nonce)
        return self._known(claims), attempt.path

    async def _exchange(self, callback: str, code: str, verifier: str) -> str:
        """Return the ID token that a code is good for."""
        published = await self._about()
        me = self._provider
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": callback, "code_verifier": verifier}
        headers = {"accept": "application/json"}
        ways = published.about.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if "client_secret_basic" in ways:
            pair = f"{quote(me.client_id, safe='')}:{quote(me.client_secret, safe='')}"
            headers["authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": me.client_id, "client_secret": me.client_secret}
        answer = await self._ask("POST", str(published.about["token_endpoint"]), headers, form)
        token = answer.get("id_token")
        if not isinstance(token, str):
            log.warning("a provider gave no ID token", error=str(answer.get("error", ""))[:100])
            raise Unauthenticated(REFUSED)
        return token

    async def _believed(self, token: str, nonce: str) -> Json:
        """Return the claims of an ID token; Unauthenticated unless everything about it is right."""
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(str(header.get("kid", "")), str(header.get("alg", "")))
            claims: Json = jwt.decode(  # pyright: ignore[reportUnknownMemberType]
                token,
                key,
                algorithms=list(SIGNED_WITH),
                audience=self._provider.client_id,
                issuer=self._provider.issuer,
                options=UNCLOCKED,
            )
        except (jwt.PyJWTError, ValueError, TypeError) as problem:
            log.warning("an ID token was not believed", problem=type(problem).__name__)
            raise Unauthenticated(REFUSED) from None
        if wrong := self._wrong(claims, nonce):
            log.warning("an ID token was not believed", problem=wrong)
            raise Unauthenticated(REFUSED)
        return claims

    def _wrong(self, claims: Json, nonce: str) -> str:
        """Return what is wrong with claims whose signature is right; nothing when they are as they should be."""
        now = self._ambient.now().timestamp()
        times = [claims["exp"], claims["iat"], claims.get("nbf", 0)]
        if any(isinstance(one, bool) or not isinstance(one, int | float) for one in times):
            return "times"
        if times[0] + LEEWAY <= now or max(times[1:]) - LEEWAY > now:
            return "time"
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            return "nonce"
        several = isinstance(claims["aud"], list) and len(cast("list[Any]", claims["aud"])) > 1
        if (several or "azp" in claims) and claims.get("azp") != self._provider.client_id:
            return "azp"
        return "" if isinstance(claims["sub"], str) and 0 < len(claims["sub"]) < 256 else "sub"

    def _known(self, claims: Json) -> Known:
        email = str(claims.get("email", "")) if claims.get("email_verified") is True else ""
        names = (claims.get("name"), claims.get("preferred_username"), email.partition("@")[0], claims["sub"])
        name = next(str(one) for one in names if one)
        given: Any = claims.get(self._provider.accounts.role_claim, ())
        values = cast("list[Any]", given) if isinstance(given, list) else [given]
        subject = f"oidc {self._provider.issuer} {claims['sub']}"
        return Known(subject, name, email.lower(), tuple(str(one) for one in values))

    async def _key(self, kid: str, algorithm: str) -> jwt.PyJWK:
        """Return a published key; the keys are asked for again when it is missing."""
        if algorithm not in SIGNED_WITH:
            raise jwt.InvalidAlgorithmError(algorithm)
        published = await self._about()
        if kid not in published.keys and self._now() - published.keys_at >= AGAIN.total_seconds():
            await self._read_keys(published)
        keys = published.keys
        found = keys.get(kid) if kid else next(iter(keys.values()), None) if len(keys) == 1 else None
        if found is None:
            raise jwt.InvalidKeyError("unknown key")
        return found

    async def _about(self) -> _Published:
        """Return what the provider publishes; Unavailable when it does not answer, or says it is another one."""
        if self._published and self._now() - self._published.at < KEPT.total_seconds():
            return self._published
        issuer = self._provider.issuer
        about = await self._ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration", {}, None)
        needed = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        if about.get("issuer") != issuer or not all(isinstance(about.get(name), str) for name in needed):
            raise Unavailable("the sign-in provider says that it is another one than the settings name")
        published = _Published(about, {}, self._now(), 0.0)
        await self._read_keys(published)
        self._published = published
        return published

    async def _read_keys(self, published: _Published) -> None:
        found = await self._ask("GET", str(published.about["jwks_uri"]), {}, None)
        keys: dict[str, jwt.PyJWK] = {}
        listed: Any = found.get("keys", ())
        for one in cast("list[Any]", listed) if isinstance(listed, list) else ():
            if isinstance(one, dict) and cast("Json", one).get("use", "sig") == "sig":
                try:
                    key = jwt.PyJWK.from_dict(cast("dict[str, Any]", one))
                except jwt.PyJWTError:
                    continue
                keys[key.key_id or ""] = key
        published.keys, published.keys_at = keys, self._now()

    async def _ask(self, method: str, url: str, headers: Mapping[str, str], form: Json | None) -> Json:
        """Return a JSON object of the provider's, also when it is a refusal."""
        try:
            async with httpx2.AsyncClient(timeout=TIMEOUT, follow_redirects=False) as client:
                answer = await client.request(method, url, headers=dict(headers), data=dict(form) if form else None)
            found: object = answer.json() if len(answer.content) <= LARGEST else None
        except (httpx2.HTTPError, ValueError) as problem:
            log.warning("a sign-in provider does not answer", problem=type(problem).__name__)
            raise Unavailable("the sign-in provider does not answer") from None
        if not isinstance(found, dict) or answer.status_code >= 500:
            raise Unavailable("the sign-in provider does not answer as it should")
        return cast("dict[str, Any]", found)

    def _now(self) -> float:
        return self._ambient.now().timestamp()
