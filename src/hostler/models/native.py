"""The name of the form in which a provider's own words are kept in the log, for those who do not speak its library."""

FORMAT = "pydantic-ai/2"
