"""Scripts for official clients: each is run by an interpreter that knows the client and nothing of Hostler."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from textwrap import dedent
from typing import Any

from tests import sdks
from tests.server import HostlerProcess

HERE = Path(__file__).parent
TIMEOUT = 90.0


class ScriptFailed(AssertionError):
    """The script ended with an exception; the message is its traceback."""


@dataclass(frozen=True)
class Client:
    """One release of a client that is pointed at one server."""

    sdk: sdks.Sdk
    server: HostlerProcess
    token: str | None = None

    def __str__(self) -> str:
        return str(self.sdk)

    @property
    def old(self) -> bool:
        """Whether the client speaks plain JSON over POST."""
        return self.sdk in (sdks.GITPOD_0_5, sdks.GITPOD_0_11)

    @cached_property
    def env(self) -> Mapping[str, str]:
        """All that the client is told."""
        key = self.server.token if self.token is None else self.token
        if self.old:
            return {"GITPOD_BASE_URL": f"{self.server.url}/api/", "GITPOD_API_KEY": key}
        return {"ONA_BASE_URL": f"{self.server.url}/api", "ONA_API_KEY": key}

    def with_key(self, token: str) -> "Client":
        """Return the same client with another key."""
        return Client(self.sdk, self.server, token)

    def run(self, script: str, *arguments: object) -> Any:
        """Run a script behind its generation's prelude; return what it told last."""
        prelude = (HERE / ("prelude_json.py" if self.old else "prelude_connect.py")).read_text()
        return told(
            sdks.run(self.sdk, prelude + dedent(script), self.env, *map(str, arguments), timeout_s=TIMEOUT), str(self)
        )


def told(done: Any, who: str) -> Any:
    """Return what a script printed in its last line."""
    if done.returncode or not done.stdout.strip():
        raise ScriptFailed(f"{who} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])
