"""The token that an agent inside an environment holds: it names an execution, and is worth nothing outside its turn."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.types import Options

from hostler.core.ambient import Ambient

KIND = "llm"
ALGORITHM = "HS256"
OPTIONS: Options = {"verify_exp": False, "verify_iat": False, "require": ["kind", "sub", "env"]}


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who a token speaks for."""

    execution: str
    environment: str


class GatewayTokens:
    """Makes and reads them; without an expiry, since every request is checked against the execution's row."""

    def __init__(self, key: bytes, ambient: Ambient) -> None:
        self._key = key
        self._ambient = ambient

    def sign(self, execution: str, environment: str) -> str:
        """Return the token of one execution in one environment."""
        claims = {"kind": KIND, "sub": execution, "env": environment, "iat": int(self._ambient.now().timestamp())}
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)  # pyright: ignore[reportUnknownMemberType]

    def read(self, token: str) -> Bearer | None:
        """Return who a token speaks for, None when it is not one of these."""
        try:
            read = jwt.decode(token, self._key, algorithms=[ALGORITHM], options=OPTIONS)  # pyright: ignore[reportUnknownMemberType]
        except jwt.InvalidTokenError:
            return None
        claims: Mapping[str, Any] = read
        if claims["kind"] != KIND or not all(isinstance(claims[name], str) for name in ("sub", "env")):
            return None
        return Bearer(claims["sub"], claims["env"])
