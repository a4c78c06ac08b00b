"""The system calls that no environment may make: kernel surface that ordinary builds and tests never need."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Set
from functools import cache

import pyseccomp

from hostler.core.providers import Feature

REFUSED = [
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "bpf",
    "userfaultfd",
    "perf_event_open",
    "add_key",
    "request_key",
    "keyctl",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "open_by_handle_at",
    "name_to_handle_at",
    "swapon",
    "swapoff",
    "reboot",
    "acct",
    "quotactl",
    "quotactl_fd",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "iopl",
    "ioperm",
    "syslog",
    "process_vm_readv",
    "process_vm_writev",
    "kcmp",
    "pidfd_getfd",
    "fanotify_init",
    "personality",
    "modify_ldt",
]
NAMESPACES = [
    "mount",
    "umount2",
    "pivot_root",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "setns",
    "unshare",
    "chroot",
]
NAMESPACE_FLAGS = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x00000080)
TERMINAL_INJECTION = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX type into somebody else's terminal."""
SOCKET_FAMILIES = (38, 40)
"""AF_ALG and AF_VSOCK."""


@cache
def program(features: Set[Feature]) -> bytes:
    """Return the filter as BPF; `features` open what an environment class asked for."""
    refuse = pyseccomp.ERRNO(errno.EPERM)
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)

    def forbid(name: str, *arguments: object, action: int = refuse) -> None:
        with contextlib.suppress(ValueError, OSError):  # This kernel or architecture does not have the call.
            rules.add_rule(action, name, *arguments)  # pyright: ignore[reportArgumentType]

    for name in REFUSED:
        forbid(name)
    if "ptrace" not in features:
        forbid("ptrace")
    if "nested_namespaces" not in features:
        for name in NAMESPACES:
            forbid(name)
        for flag in NAMESPACE_FLAGS:
            forbid("clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, flag, flag))
        # Its flags lie in memory, where a filter cannot look; the C library falls back to clone.
        forbid("clone3", action=pyseccomp.ERRNO(errno.ENOSYS))
    for request in TERMINAL_INJECTION:
        forbid("ioctl", pyseccomp.Arg(1, pyseccomp.MASKED_EQ, 0xFFFFFFFF, request))
    for family in SOCKET_FAMILIES:
        forbid("socket", pyseccomp.Arg(0, pyseccomp.EQ, family))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def in_memory(name: str, data: bytes) -> int:
    """Return a descriptor that reads `data`; the caller closes it."""
    descriptor = os.memfd_create(name)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
