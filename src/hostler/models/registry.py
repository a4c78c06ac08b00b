"""The registry of models: PROVIDER:NAME to a model that is opened once and kept.

A family is one module and one line in `FAMILIES`; its module is imported when its first model is asked for. The
providers' libraries, which are slow to import and large, come with the first call.
"""

import asyncio
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from hostler.core.ambient import Ambient, SystemAmbient
from hostler.core.errors import FailedPrecondition
from hostler.core.ports import Model
from hostler.models.scripted import Gates, Plan, ScriptedModel
from hostler.models.settings import Opening, Override

FAMILIES: Mapping[str, str] = {
    "anthropic": "hostler.models.anthropic",
    "openai-responses": "hostler.models.openai_responses",
    "openai-chat": "hostler.models.openai_chat",
}
"""Each module has `open_model(opening) -> OpenModel`. Scripted models are opened here, for they need no provider."""

KEY_VARIABLES = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY")
_URL_VARIABLES = ("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")


class OpenModel(Model, Protocol):
    """A model that holds connections."""

    async def close(self) -> None:
        """Close its connections; repeating it is fine."""
        ...


class Registry:
    """All models of a server; `environ` are its variables, `plans` are scripts known as `scripted:NAME`.

    `stand_ins` are further names of scripts, each with the name that it stands for.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        overrides: Mapping[str, Override] | None = None,
        plans: Mapping[str, Plan] | None = None,
        stand_ins: Mapping[str, str] | None = None,
        gates: Gates | None = None,
        ambient: Ambient | None = None,
    ) -> None:
        self._environ = environ
        self._overrides = overrides or {}
        self._plans = dict(plans or {})
        self._stand_ins = stand_ins or {}
        self._gates = gates or Gates()
        self._ambient = ambient or SystemAmbient()
        self._scripted: dict[str, ScriptedModel] = {}
        self._open: dict[str, OpenModel] = {}
        self._left: list[OpenModel] = []
        """Those of earlier settings, which may still be in use."""

    def get(self, name: str) -> Model:
        """Return the model PROVIDER:NAME; FailedPrecondition with the reason when it is not configured."""
        known = self._scripted.get(name) or self._open.get(name)
        if known:
            return known
        provider, _, model = name.partition(":")
        if not model or provider not in (*FAMILIES, "scripted"):
            providers = ", ".join((*FAMILIES, "scripted"))
            raise FailedPrecondition(f"the model {name!r} is not PROVIDER:NAME with a provider out of: {providers}")
        if provider == "scripted":
            return self._scripted.setdefault(name, self._script(name, model))
        opened: OpenModel = import_module(FAMILIES[provider]).open_model(self.opening(name))
        return self._open.setdefault(name, opened)

    def opening(self, name: str) -> Opening:
        """Return what is configured for the model PROVIDER:NAME, for those who call its provider themselves."""
        provider, _, model = name.partition(":")
        return Opening(provider, model, self._environ, self._overrides.get(name, Override()), self._ambient)

    async def prepare(self, name: str) -> Model:
        """Return what `get` returns, without holding up the event loop for what a first import takes."""
        return self._scripted.get(name) or self._open.get(name) or await asyncio.to_thread(self.get, name)

    def register(self, name: str, plan: Plan) -> None:
        """Make a script known as `scripted:NAME`, in place of an earlier one."""
        self._plans[name] = plan
        self._scripted.pop(f"scripted:{name}", None)

    def reconfigure(self, overrides: Mapping[str, Override], stand_ins: Mapping[str, str]) -> None:
        """Take other overrides; a model whose own changed is opened anew, and calls under way end with the old one."""
        changed = {
            name
            for name in {*self._overrides, *overrides}
            if self._overrides.get(name, Override()) != overrides.get(name, Override())
        }
        self._overrides, self._stand_ins = overrides, stand_ins
        self._left.extend(model for name in changed if (model := self._open.pop(name, None)))

    def secrets(self) -> frozenset[str]:
        """Return every key, and every password in an address, that models are called with."""
        keys = {self._environ.get(variable, "") for variable in KEY_VARIABLES}
        keys |= {override.api_key for override in self._overrides.values()}
        urls = {self._environ.get(variable, "") for variable in _URL_VARIABLES}
        urls |= {override.base_url for override in self._overrides.values()}
        return frozenset(filter(None, keys | {_password(url) for url in urls}))

    async def close(self) -> None:
        """Close all connections; models in use fail with ModelUnavailable."""
        while self._open:
            await self._open.popitem()[1].close()
        while self._left:
            await self._left.pop().close()

    def _script(self, name: str, script: str) -> ScriptedModel:
        plan = self._plan(self._stand_ins.get(script, script))
        return ScriptedModel(name, plan, self._gates, self._ambient)

    def _plan(self, name: str) -> Plan:
        if plan := self._plans.get(name):
            return plan
        if name == "demo":
            from hostler.models.demo import DEMO

            return DEMO
        if "/" in name or name.endswith(".json"):
            from hostler.models.script import load

            return load(Path(name))
        raise FailedPrecondition(f"there is no script scripted:{name}; scripted:demo and scripted:PATH are known")


def _password(url: str) -> str:
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""
