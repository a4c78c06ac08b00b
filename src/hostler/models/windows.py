"""How much each model reads at once, from the data of the provider's library, which itself is not imported for it."""

from genai_prices.data_snapshot import get_snapshot


def window_of(model: str, provider: str, url: str) -> int:
    """Return a model's context window in tokens as the library looks it up, 0 where it is not known."""
    for id_, address in ((None, url), (provider, None)):
        try:
            _, found = get_snapshot().find_provider_model(
                model, provider=None, provider_id=id_, provider_api_url=address
            )
        except LookupError:
            continue
        return found.context_window or 0
    return 0
