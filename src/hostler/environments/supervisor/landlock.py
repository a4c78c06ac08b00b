"""Keeping one command, and all that it starts, from writing: a Landlock ruleset that it cannot take off.

Denied is whatever makes, changes, moves or removes a file outside /tmp and /dev/shm, and so also a hard link out of a
folder; devices can be written to. What Landlock does not know stays possible: modes and owners of files can be changed.
"""

from __future__ import annotations

import ctypes
import os
import struct

from .keepers import prctl

PR_SET_NO_NEW_PRIVS = 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_WRITE_FILE, _TRUNCATE = 1 << 1, 1 << 14
_MAKING = sum(1 << bit for bit in range(4, 13))
"""Removing, and making whatever kind of file."""
_REFER = 1 << 13
_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """Return which version of Landlock the kernel has; 0 when it has none or may not use it."""
    return max(0, _libc.syscall(_CREATE_RULESET, None, 0, _VERSION))


def enough() -> bool:
    """Return whether the kernel can keep a command from writing; before version 3 a file could be emptied."""
    return version() >= 3


def forbid_writing() -> None:
    """Forbid this process to write, and all that it will start. OSError when that cannot be had."""
    if not enough():
        raise OSError(0, "this kernel cannot keep a command from writing (Landlock 3 is needed)")
    everything = _WRITE_FILE | _TRUNCATE | _MAKING | _REFER
    handled = struct.pack("Q", everything)
    rules = _called(_CREATE_RULESET, handled, len(handled), 0)
    for path, allowed in (("/tmp", everything), ("/dev/shm", everything), ("/dev", _WRITE_FILE | _TRUNCATE)):
        try:
            folder = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        _called(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", allowed, folder), 0)
        os.close(folder)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    _called(_RESTRICT_SELF, rules, 0)
    os.close(rules)


def _called(*arguments: int | bytes) -> int:
    found = _libc.syscall(*arguments)
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock: {os.strerror(number)}")
    return found
