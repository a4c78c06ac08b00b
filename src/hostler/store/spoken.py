"""Text that people were shown and the log does not have yet: one small file an execution, beside the database.

A line is JSON: `{"block", "call", "part", "kind"}` names a block, `[number of the block, text, offset, held]` is a
piece of it. Each is written with one call and not flushed to the disk: it outlives the process, not the machine. What
cannot be read, such as a line that was cut off, ends the file.
"""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from hostler.core.spoken import Spoken

log = structlog.get_logger(__name__)

MOST = 8 << 20
"""Bytes of one execution's file; more than any model says at once."""
NEW = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
MOST_OPEN = 512
"""Executions whose files stay open between two texts."""
LOST = "what is said cannot be kept, so it is shown when it is whole"


@dataclass(slots=True)
class _File:
    """A file, the bytes in it, and the blocks that it names by their number; without a descriptor there is none yet."""

    descriptor: int = -1
    size: int = 0
    blocks: dict[str, int] = field(default_factory=dict[str, int])
    broken: bool = False


class SpokenFiles:
    """Keeps pieces in files of a folder."""

    def __init__(self, folder: Path, most: int = MOST) -> None:
        self._folder = folder
        self._place = str(folder)
        self._most = most
        self._files: dict[str, _File] = {}
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def add(self, execution: str, piece: Spoken) -> bool:
        """Append a piece; False when the file is full or the disk does not take it."""
        try:
            file = self._files.get(execution)
            if file is None or file.descriptor < 0:
                file = self._opened(execution)
        except OSError as problem:
            log.error(LOST, problem=str(problem))
            return False
        data = _written(file.blocks, piece)
        file.broken = file.broken or file.size + len(data) > self._most
        if file.broken:
            return False
        try:
            file.broken = os.write(file.descriptor, data) != len(data)
        except OSError as problem:
            log.error(LOST, problem=str(problem))
            file.broken = True
        file.size += len(data)
        return not file.broken

    def read(self, execution: str) -> Sequence[Spoken]:
        """Return the pieces of the file, as far as it can be read and understood."""
        try:
            return _pieces(self._path(execution).read_bytes())
        except FileNotFoundError:
            pass
        except OSError as problem:
            log.error("what was said cannot be read", problem=str(problem))
        return ()

    def replace(self, execution: str, pieces: Sequence[Spoken]) -> None:
        """Write the file anew under another name and put it in its place, where the disk takes it."""
        if not pieces:
            self._empty(execution)
            return
        self.release(execution)
        blocks: dict[str, int] = {}
        fresh = self._path(execution).with_suffix(".new")
        try:
            with os.fdopen(os.open(fresh, NEW | os.O_TRUNC, 0o600), "wb") as file:
                file.write(b"".join(_written(blocks, piece) for piece in pieces))
            fresh.replace(self._path(execution))
        except OSError as problem:
            log.error("what is in the log now is kept a while longer", problem=str(problem))

    def _empty(self, execution: str) -> None:
        """Leave nothing in the file; one that is open stays so, for the next text is said soon."""
        file = self._files.get(execution)
        if file is not None and file.descriptor >= 0 and len(self._files) <= MOST_OPEN:
            if not file.size and not file.broken:
                return
            try:
                os.ftruncate(file.descriptor, 0)
            except OSError as problem:
                log.error("what is in the log now is kept a while longer", problem=str(problem))
            else:
                file.size, file.broken = 0, False
                file.blocks.clear()
                return
        elif file is not None and file.descriptor < 0:
            return
        self.forget(execution)
        self._files[execution] = _File()

    def release(self, execution: str) -> None:
        """Close the file, and remove it where nothing is in it."""
        file = self._files.pop(execution, None)
        if file is None or file.descriptor < 0:
            return
        os.close(file.descriptor)
        if not file.size and not file.broken:
            with suppress(OSError):
                os.unlink(self._path(execution))

    def forget(self, execution: str) -> None:
        """Remove the file."""
        self.release(execution)
        for suffix in ("jsonl", "new"):
            with suppress(FileNotFoundError):
                os.unlink(f"{self._place}/{execution}.{suffix}")

    def _opened(self, execution: str) -> _File:
        """Open the file behind what can be understood of it; most often there is nothing."""
        blocks: dict[str, int] = {}
        descriptor, kept = os.open(f"{self._place}/{execution}.jsonl", NEW | os.O_APPEND, 0o600), b""
        if os.fstat(descriptor).st_size:
            kept = b"".join(_written(blocks, piece) for piece in self.read(execution))
            os.ftruncate(descriptor, len(kept))
        self._files[execution] = _File(descriptor, len(kept), blocks)
        return self._files[execution]

    def _path(self, execution: str) -> Path:
        return self._folder / f"{execution}.jsonl"


def _written(blocks: dict[str, int], piece: Spoken) -> bytes:
    """Return the lines of a piece, with its block's when that is new."""
    head = ""
    if piece.block not in blocks:
        blocks[piece.block] = len(blocks)
        named = {"block": piece.block, "call": piece.call_id, "part": piece.part, "kind": piece.kind}
        head = json.dumps(named) + "\n"
    line = json.dumps([blocks[piece.block], piece.text, piece.offset, int(piece.held)])
    return f"{head}{line}\n".encode()


def _pieces(data: bytes) -> Sequence[Spoken]:
    blocks: list[dict[str, Any]] = []
    pieces: list[Spoken] = []
    for line in data.split(b"\n")[:-1]:
        try:
            match json.loads(line):
                case {"block": _, "call": _, "part": _, "kind": _} as named:
                    blocks.append(named)
                case [int(number), str(text), int(offset), int(held)]:
                    b = blocks[number]
                    pieces.append(Spoken(b["block"], b["call"], b["part"], b["kind"], text, offset, bool(held)))
                case _:
                    break
        except (ValueError, IndexError):
            break
    return pieces
