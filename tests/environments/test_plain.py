from pathlib import Path

import pytest

from hostler.environments.folders import FolderProvider
from hostler.environments.plain import plain_provider
from hostler.testing.environments_suite import CommandSuite, FenceSuite, ProviderSuite
from hostler.testing.sessions_suite import AttachedSuite, FileSuite, GitSuite, InputSuite, SearchSuite, TerminalSuite


@pytest.fixture
def provider(root: Path) -> FolderProvider:
    return plain_provider(root)


class TestProvider(ProviderSuite): ...


class TestCommands(CommandSuite): ...


class TestFences(FenceSuite): ...


class TestFiles(FileSuite): ...


class TestGit(GitSuite): ...


class TestTerminals(TerminalSuite): ...


class TestAttached(AttachedSuite): ...


class TestSearch(SearchSuite): ...


class TestInput(InputSuite): ...


async def test_it_says_plainly_that_nothing_holds(provider: FolderProvider) -> None:
    found = await provider.preflight()
    assert found.verdict == "degraded"
    assert "without a sandbox" in found.findings[0].problem
    assert not any(protection.holds for protection in found.protections)
