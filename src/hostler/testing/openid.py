"""An OpenID Connect provider over HTTP, with real keys; a test says what it gets wrong."""

import base64
import json
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

CLIENT, SECRET = "hostler", "the secret of the client that nobody guesses"


@dataclass
class Granted:
    """A code that was given out, and what it was asked for with."""

    redirect: str
    nonce: str
    challenge: str


@dataclass
class OpenIdProvider:
    """The provider; `now` is the clock that its tokens go by."""

    now: float
    claims: dict[str, Any] = field(default_factory=dict[str, Any])
    """What it says of whoever signs in, over what is right."""
    signed_by: str = "one"
    """Which key signs: `one` is published, `another` is not."""
    algorithm: str = "RS256"
    calls: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.keys = {
            name: rsa.generate_private_key(public_exponent=65537, key_size=2048) for name in ("one", "another")
        }
        self.published = ["one"]
        self.codes: dict[str, Granted] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.answer_get(self)

            def do_POST(self) -> None:
                provider.answer_post(self)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def approve(self, url: str) -> dict[str, str]:
        """Sign in at the address that Hostler sends people to; return the query that they come back with."""
        asked = {key: values[-1] for key, values in parse_qs(urlsplit(url).query).items()}
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe()
        self.codes[code] = Granted(asked["redirect_uri"], asked["nonce"], asked["code_challenge"])
        return {"code": code, "state": asked["state"]}

    def answer_get(self, handler: BaseHTTPRequestHandler) -> None:
        """Say what is published."""
        path = urlsplit(handler.path).path
        self.calls.append(path)
        if path == "/.well-known/openid-configuration":
            told: Any = {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            }
            _say(handler, 200, told)
        elif path == "/keys":
            _say(handler, 200, {"keys": [self._jwk(name) for name in self.published]})
        else:
            _say(handler, 404, {})

    def answer_post(self, handler: BaseHTTPRequestHandler) -> None:
        """Exchange a code, once, with the client's secret and the verifier that belongs to it."""
        self.calls.append(handler.path)
        body = handler.rfile.read(int(handler.headers.get("content-length", "0"))).decode()
        form = {key: values[-1] for key, values in parse_qs(body).items()}
        pair = base64.b64decode(handler.headers.get("authorization", "").removeprefix("Basic ")).decode()
        granted = self.codes.pop(form.get("code", ""), None)
        challenge = (
            base64.urlsafe_b64encode(sha256(form.get("code_verifier", "").encode()).digest()).decode().rstrip("=")
        )
        if pair != f"{CLIENT}:{SECRET.replace(' ', '%20')}" or granted is None or granted.challenge != challenge:
            _say(handler, 400, {"error": "invalid_grant"})
            return
        if granted.redirect != form.get("redirect_uri"):
            _say(handler, 400, {"error": "invalid_grant"})
            return
        _say(handler, 200, {"token_type": "Bearer", "access_token": "none", "id_token": self._token(granted.nonce)})

    def _token(self, nonce: str) -> str:
        right = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "ann",
            "nonce": nonce,
            "iat": int(self.now),
            "exp": int(self.now) + 300,
            "name": "Ann",
            "email": "ann@example.com",
            "email_verified": True,
        }
        claims = {key: value for key, value in {**right, **self.claims}.items() if value is not None}
        key: Any = self.keys[self.signed_by]
        if self.algorithm == "HS256":
            key = SECRET
        if self.algorithm == "none":
            key = None
        return jwt.encode(claims, key, algorithm=self.algorithm, headers={"kid": self.signed_by})  # pyright: ignore[reportUnknownMemberType]

    def _jwk(self, name: str) -> Mapping[str, Any]:
        key = cast("dict[str, Any]", json.loads(RSAAlgorithm.to_jwk(self.keys[name].public_key())))
        return {**key, "kid": name, "use": "sig", "alg": "RS256"}


def _say(handler: BaseHTTPRequestHandler, status: int, told: Any) -> None:
    body = json.dumps(told).encode()
    handler.send_response(status)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
