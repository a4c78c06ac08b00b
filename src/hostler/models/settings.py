"""What a model family is told when one of its models is opened, and what configuration may say about one model."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hostler.core.ambient import Ambient
from hostler.core.errors import FailedPrecondition

_ADDRESS = re.compile(r"https?://[^/\s]+")


@dataclass(frozen=True, slots=True)
class Override:
    """What the configuration says about one PROVIDER:NAME; empty fields leave it to the provider."""

    context_window: int = 0
    """In tokens; 0 is what the provider's library knows."""
    vision: bool | None = None
    base_url: str = ""
    api_key: str = ""


@dataclass(frozen=True, slots=True)
class Opening:
    """One model to be opened: `environ` are the server's variables, `override` goes before them."""

    provider: str
    name: str
    environ: Mapping[str, str]
    override: Override
    ambient: Ambient

    @property
    def full_name(self) -> str:
        """Return PROVIDER:NAME."""
        return f"{self.provider}:{self.name}"

    def base_url(self, variable: str) -> str | None:
        """Return where the provider is, None for its usual address; FailedPrecondition when it is no address."""
        url = self.override.base_url or self.environ.get(variable) or None
        if url and not _ADDRESS.match(url):
            raise FailedPrecondition(
                f"the base URL of {self.full_name} must begin with http:// or https://: see {variable}"
            )
        return url

    def api_key(self, variable: str, *, unless: str | None = None) -> str:
        """Return the key, or `unless` when there is none; without either FailedPrecondition names the variable."""
        if key := self.override.api_key or self.environ.get(variable):
            return key
        if unless is not None:
            return unless
        raise FailedPrecondition(
            f"the model {self.full_name} needs a key: set {variable} where the server runs, "
            "or choose scripted:demo to go on without one"
        )
