from pathlib import Path

import pytest

from hostler.environments.folders import FolderProvider
from hostler.environments.local import local_provider
from hostler.testing.environments_suite import CommandSuite, FenceSuite, ProviderSuite
from hostler.testing.sessions_suite import AttachedSuite, FileSuite, GitSuite, InputSuite, SearchSuite, TerminalSuite

pytestmark = pytest.mark.sandbox


@pytest.fixture
def provider(root: Path) -> FolderProvider:
    return local_provider(root)


class TestProvider(ProviderSuite): ...


class TestCommands(CommandSuite): ...


class TestFences(FenceSuite): ...


class TestFiles(FileSuite): ...


class TestGit(GitSuite): ...


class TestTerminals(TerminalSuite): ...


class TestAttached(AttachedSuite): ...


class TestSearch(SearchSuite): ...


class TestInput(InputSuite): ...
