"""The fixtures of the API's tests: a server in memory, and a browser at its pages."""

from tests.api.conftest import api
from tests.api.test_signing_in import browser

__all__ = ["api", "browser"]
