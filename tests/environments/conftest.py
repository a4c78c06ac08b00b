import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hostler.core.providers import EnvSpec, Handle
from hostler.environments.folders import FolderProvider
from hostler.testing.environments_suite import work
from hostler.testing.sessions_suite import repository
from tests.environments.places import discard

__all__ = ["repository", "work"]


@pytest.fixture
def root() -> Iterator[Path]:
    """A short path whose parents every uid may pass: a sandbox's uid must reach it, and sockets have short names."""
    folder = Path(tempfile.mkdtemp(prefix="h", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    discard(folder)


@pytest.fixture
async def handle(provider: FolderProvider) -> AsyncIterator[Handle]:
    made = await provider.create(EnvSpec("env"))
    await provider.start(made)
    yield made
    async for left in provider.list():
        await provider.delete(left)
