"""The secrets of environments in files of the data folder, for its owner's eyes only; never in the database."""

import asyncio
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class FileVault:
    """One file an environment, in a folder that only the server's user may enter."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, environment: str, values: Mapping[str, str]) -> None:
        """Keep the values of one environment, instead of what was kept for it before."""
        await asyncio.to_thread(self._put, environment, dict(values))

    async def get(self, environment: str) -> Mapping[str, str]:
        """Return the values; empty when there are none."""
        return await asyncio.to_thread(self._get, environment)

    async def remove(self, environment: str) -> None:
        """Forget an environment's values."""
        await asyncio.to_thread(lambda: self._file(environment).unlink(missing_ok=True))

    async def environments(self) -> tuple[str, ...]:
        """Return the environments that values are kept for."""
        return await asyncio.to_thread(self._listed)

    def _file(self, environment: str) -> Path:
        if not ID.fullmatch(environment):
            raise ValueError(f"{environment!r} is not the id of an environment")
        return self._folder / f"{environment}.json"

    def _put(self, environment: str, values: dict[str, str]) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self._file(environment).with_suffix(".part")
        part.unlink(missing_ok=True)
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(values, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._file(environment))

    def _get(self, environment: str) -> Mapping[str, str]:
        try:
            return cast("dict[str, str]", json.loads(self._file(environment).read_text()))
        except FileNotFoundError:
            return {}

    def _listed(self) -> tuple[str, ...]:
        return tuple(sorted(file.stem for file in self._folder.glob("*.json")))
