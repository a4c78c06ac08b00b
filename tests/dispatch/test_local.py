"""The embedded dispatcher keeps the promises."""

import pytest

from hostler.core.ambient import SystemAmbient
from hostler.dispatch.local import LocalDispatch
from hostler.testing.dispatch_suite import DispatchSuite, Maker


class TestLocal(DispatchSuite):
    @pytest.fixture
    def maker(self) -> Maker:
        return lambda runner: LocalDispatch(SystemAmbient())
