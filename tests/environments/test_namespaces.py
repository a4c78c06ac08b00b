"""What a machine that refuses sandboxes is told to do."""

import subprocess
from pathlib import Path

import pytest

from hostler.environments.namespaces import remedy

REFUSED = "bwrap: setting up uid map: Permission denied"
BWRAP = "/usr/bin/bwrap"


def machine(folder: Path, **sysctls: str) -> Path:
    """Make a folder like /proc/sys; `kernel__x` stands for kernel/x."""
    for name, value in sysctls.items():
        file = folder / name.replace("__", "/")
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{value}\n")
    return folder


def test_ubuntu_is_given_a_profile_for_the_bubblewrap_in_use(tmp_path: Path) -> None:
    sysctls = machine(tmp_path, kernel__apparmor_restrict_unprivileged_userns="1", user__max_user_namespaces="96365")
    step = remedy(REFUSED, "/opt/hostler/bwrap", sysctls)
    assert step is not None
    assert step.startswith("sudo ")
    assert "profile hostler-bwrap /opt/hostler/bwrap flags=(unconfined) { userns, }" in step
    assert subprocess.run(["sh", "-n", "-c", step], check=False).returncode == 0


@pytest.mark.parametrize(
    ("sysctl", "value"), [("kernel__unprivileged_userns_clone", "1"), ("user__max_user_namespaces", "30000")]
)
def test_a_switch_that_is_off_is_named(tmp_path: Path, sysctl: str, value: str) -> None:
    step = remedy(REFUSED, BWRAP, machine(tmp_path, **{sysctl: "0"}))
    assert step == f"sudo sysctl -w {sysctl.replace('__', '.')}={value}"


def test_a_machine_whose_switches_are_on_is_told_where_else_to_look(tmp_path: Path) -> None:
    sysctls = machine(tmp_path, kernel__apparmor_restrict_unprivileged_userns="0", user__max_user_namespaces="96365")
    step = remedy("bwrap: No permissions to create new namespace", BWRAP, sysctls)
    assert step is not None
    assert "container" in step


def test_another_failure_is_not_blamed_on_namespaces(tmp_path: Path) -> None:
    assert remedy("bwrap: Can't find source path /x: No such file or directory", BWRAP, tmp_path) is None
