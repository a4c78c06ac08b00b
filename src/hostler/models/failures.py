"""What goes wrong at a provider, told apart by whether another try may help."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import httpx2
from pydantic_ai import exceptions as lib

from hostler.core.errors import ModelError, ModelRefused, ModelUnavailable

LONGEST_TEXT = 400


@contextmanager
def told_apart(model: str, key_variable: str) -> Generator[None]:
    """Turn whatever the provider's library raises in this block into ModelUnavailable or ModelRefused."""
    try:
        yield
    except lib.ModelAPIError as error:
        raise _of_api(error, model, key_variable) from error
    except lib.UserError as error:
        raise ModelRefused(f"{model} cannot be asked this: {_short(str(error))}") from error
    except (httpx2.HTTPError, OSError) as error:
        raise ModelUnavailable(f"{model} cannot be reached: {_short(str(error) or type(error).__name__)}") from error
    except ModelError:
        raise
    except (lib.AgentRunError, LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
        # Garbage in a stream shows up as any of these, wherever the library first stumbles over it.
        raise ModelUnavailable(f"{model} sent what cannot be read: {_short(str(error))}") from error


def _of_api(error: lib.ModelAPIError, model: str, key_variable: str) -> ModelError:
    said = _short(_said(error))
    match error:
        case lib.ModelContextWindowExceededError():
            return ModelRefused(f"the conversation is too long for {model}: {said}", context_overflow=True)
        case lib.ModelHTTPError(status_code=413):
            return ModelRefused(f"the request is too large for {model}: {said}", context_overflow=True)
        case lib.ModelQuotaExceededError():
            return ModelRefused(f"the account at {model}'s provider is used up: {said} Top it up, then send again.")
        case lib.ModelAuthenticationError():
            return ModelRefused(f"{model}'s provider does not accept the key: {said} Check {key_variable}.")
        case lib.ModelNotFoundError():
            return ModelRefused(f"{model} is not known there: {said} Check the model's name and the base URL.")
        case lib.ModelHTTPError() if _hopeless(error):
            return ModelRefused(f"{model} refuses the request ({error.status_code}): {said}")
        case lib.ModelRequestRejectedError():
            return ModelRefused(f"{model} refuses the request: {said}")
        case lib.ModelHTTPError():
            text = f"{model} answers {error.status_code}: {said}"
            return ModelUnavailable(text, retry_after=_wait(error.headers, error.retry_after))
        case _:
            return ModelUnavailable(f"{model} cannot be reached: {said}", retry_after=error.retry_after)


def _hopeless(error: lib.ModelHTTPError) -> bool:
    """Return whether the same request will fail again: the provider says so, or its status does."""
    if error.provider_retry_hint is not None:
        return not error.provider_retry_hint
    return 400 <= error.status_code < 500 and error.status_code not in (408, 409, 425, 429)


def _wait(headers: Mapping[str, str] | None, known: float | None) -> float | None:
    """Return the seconds to wait; a fraction of a second is read here, since the library takes whole ones only."""
    try:
        return known if known is not None else max(0.0, float((headers or {}).get("retry-after", "")))
    except ValueError:
        return None


def _said(error: lib.ModelAPIError) -> str:
    """Return the provider's own sentence out of the body it sent."""
    body = error.body
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except ValueError:
            return body
    if isinstance(body, dict):
        fields = cast("dict[str, Any]", body)
        inner = fields.get("error", fields)
        if isinstance(inner, str):
            return inner
        if isinstance(inner, dict) and (text := cast("dict[str, Any]", inner).get("message")):
            return str(text)
    return error.message


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…"
