"""What every table of hostler.toml has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of hostler.toml; a name that is not known is an error, so that a typing mistake is noticed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
