"""Two processes on one Postgres: the part of the conformance suite that is about them."""

import pytest

from hostler.testing.store_suite import SHARING, Opener
from tests.store.conftest import Home

pytestmark = pytest.mark.postgres


@pytest.fixture
def opener(postgres_home: Home) -> Opener:
    return postgres_home.open


for suite in SHARING:
    globals()[f"Test{suite.__name__}"] = type(f"Test{suite.__name__}", (suite,), {"__module__": __name__})
