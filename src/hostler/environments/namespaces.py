"""Why a kernel refuses a sandbox, and the one step that mends it. Nothing is changed here: the step needs sudo."""

from pathlib import Path

SIGNS = ("uid map", "new namespace", "Operation not permitted", "Permission denied")
SYSCTLS = Path("/proc/sys")
PROFILE = "/etc/apparmor.d/hostler-bwrap"


def remedy(said: str, bwrap: str, sysctls: Path = SYSCTLS) -> str | None:
    """Return the step after which `bwrap` may make namespaces; None if what it said is about something else."""
    if not any(sign in said for sign in SIGNS):
        return None
    if _is(sysctls / "kernel/apparmor_restrict_unprivileged_userns", "1"):
        return _apparmor(bwrap)
    if _is(sysctls / "kernel/unprivileged_userns_clone", "0"):
        return "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    if _is(sysctls / "user/max_user_namespaces", "0"):
        return "sudo sysctl -w user.max_user_namespaces=30000"
    return "Allow this user to make user namespaces; inside a container, its own rules may forbid them."


def _apparmor(bwrap: str) -> str:
    """Return the command that lets this one program make namespaces, as Ubuntu 23.10 and later ask for."""
    profile = f"abi <abi/4.0>, profile hostler-bwrap {bwrap} flags=(unconfined) {{ userns, }}"
    return f"sudo sh -c 'echo \"{profile}\" > {PROFILE} && apparmor_parser -r {PROFILE}'"


def _is(sysctl: Path, value: str) -> bool:
    try:
        return sysctl.read_text().strip() == value
    except OSError:
        return False
