"""The form of a backup: a compressed tar of a header, tables, files, and last a manifest with the sha256 of each.

The manifest comes last because a backup is written in one go; a file that was cut off has none, so it is damaged.
"""

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, cast

from hostler.core.errors import HostlerError

FORMAT = 1
HEADER, MANIFEST = "header.json", "manifest.json"
TABLES, FILES = "tables/", "files/"
PART = 1 << 20
SMALL = 16 << 20
"""Bytes up to which a file is read whole before it is added; larger ones never change."""
MOST_SAID = 64 << 20
"""Bytes of a header or manifest; a manifest line names one file."""
NAME = re.compile(
    r"header\.json|tables/[a-z_]{1,60}\.jsonl|files/(?:key|secret-key|token|learned|hostler\.toml)"
    r"|files/(?:blobs|kept|secrets|said)(?:/[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}){1,8}"
)
"""What a backup may hold; nothing in it can name a place outside the folder that it is restored into."""
BROKEN = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, KeyError, TypeError)


class Damaged(HostlerError):
    """The file is not a whole backup."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a backup says of itself before anything else."""

    format: int
    hostler: str
    schema: int
    made_at: str
    runner: str
    database: str
    """The kind it was taken from: sqlite or postgresql."""
    keys: bool
    """Whether it has the keys, tokens, secrets and settings of the data folder."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A backup that was read from its beginning to its end and is whole."""

    header: Header
    members: int
    bytes: int
    """What it holds, unpacked."""
    rows: Mapping[str, int]
    missing: tuple[str, ...]
    """Files that went while the backup was made, because what they belonged to was deleted."""


class Archive:
    """A backup being written."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._sums: dict[str, str] = {}
        self.rows: dict[str, int] = {}
        self.missing: list[str] = []
        self.bytes = 0

    def add(self, name: str, data: bytes) -> None:
        """Add a member that is in memory."""
        self._add(name, io.BytesIO(data), len(data))

    def lines(self, name: str, lines: Iterable[bytes], scratch: Path) -> None:
        """Add a table, by way of a file without a name, for a tar says the size first."""
        with TemporaryFile(dir=scratch) as file:
            number = -1
            for line in lines:
                file.write(line)
                number += 1
            size = file.tell()
            file.seek(0)
            self._add(f"{TABLES}{name}.jsonl", file, size)
        self.rows[name] = number

    def file(self, name: str, path: Path) -> bool:
        """Add a file as it is now; False when it is not there. Small ones may change while they are read."""
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size > SMALL:
                    self._add(name, file, size)
                else:
                    self.add(name, file.read())
        except FileNotFoundError:
            return False
        return True

    def close(self) -> None:
        """Write the manifest."""
        told = {"members": self._sums, "rows": self.rows, "missing": self.missing}
        data = json.dumps(told, indent=1).encode()
        self._tar.addfile(_entry(MANIFEST, len(data)), io.BytesIO(data))

    def _add(self, name: str, source: IO[bytes], size: int) -> None:
        if not NAME.fullmatch(name):
            raise HostlerError(f"a file with this name cannot be in a backup: {name!r}")
        summed = _Summed(source)
        self._tar.addfile(_entry(name, size), cast("IO[bytes]", summed))
        self._sums[name] = summed.sum.hexdigest()
        self.bytes += size


@contextmanager
def writing(out: IO[bytes]) -> Generator[Archive]:
    """Yield an archive that is written to a stream, and finish it."""
    with gzip.GzipFile("", "wb", 1, out, 0) as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
        archive = Archive(tar)
        yield archive
        archive.close()


def check(file: Path) -> Checked:
    """Read a whole backup and compare it with its manifest; raises Damaged with the first thing that is wrong."""
    sums: dict[str, str] = {}
    size = 0
    header: Header | None = None
    manifest: dict[str, Any] | None = None
    try:
        for name, data in members(file):
            if name == MANIFEST:
                manifest = json.loads(data.read(MOST_SAID))
                continue
            summed = _Summed(data)
            if name == HEADER:
                header = _header(summed.read(MOST_SAID))
            while piece := summed.read(PART):
                size += len(piece)
            sums[name] = summed.sum.hexdigest()
        if header is None or manifest is None:
            raise Damaged(f"{file} is no whole backup: its end is missing")
        _compare(file, sums, manifest["members"])
        return Checked(header, len(sums), size, manifest["rows"], tuple(manifest["missing"]))
    except BROKEN as problem:
        raise Damaged(f"{file} is damaged or no backup of Hostler: {problem}") from None


def members(file: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield each member's name and content, in order; raises Damaged for one that a backup cannot have.

    A sparse one is a few bytes that say they are any number of zeros: none is ever written.
    """
    try:
        with gzip.open(file) as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
            for entry in tar:
                if not entry.isreg() or entry.issparse() or not (entry.name == MANIFEST or NAME.fullmatch(entry.name)):
                    raise Damaged(f"{file} is no backup of Hostler: it holds {entry.name!r}")
                content = tar.extractfile(entry)
                assert content is not None, "it is a regular file"
                yield entry.name, content
            while packed.read(PART):
                pass  # Its own checksum is behind what the tar needs.
    except BROKEN as problem:
        raise Damaged(f"{file} is damaged or no backup of Hostler: {problem}") from None


def copy(source: IO[bytes], write: Callable[[bytes], object]) -> None:
    """Pass everything that a member holds."""
    while piece := source.read(PART):
        write(piece)


def header_data(header: Header) -> bytes:
    """Return a header as it stands in a backup."""
    return json.dumps(asdict(header), indent=1).encode()


def _header(data: bytes) -> Header:
    told = json.loads(data)
    if int(told["format"]) > FORMAT:
        raise Damaged(f"the backup has format {told['format']}, and this release of Hostler reads up to {FORMAT}")
    return Header(**{field.name: told[field.name] for field in fields(Header)})


def _compare(file: Path, found: Mapping[str, str], said: Mapping[str, str]) -> None:
    for name in sorted(found.keys() | said.keys()):
        if found.get(name) != said.get(name):
            what = "is missing" if name not in found else "is not what was put in"
            raise Damaged(f"{file} is damaged: {name} {what}")


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry


class _Summed:
    """A stream whose bytes are summed as they are read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.sum = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        data = self._source.read(size)
        self.sum.update(data)
        return data
