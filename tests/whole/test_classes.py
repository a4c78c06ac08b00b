"""Environment classes say what this machine can hold of them."""

from dataclasses import replace

from hostler.config import load
from hostler.core.providers import Preflight, Protection
from hostler.definitions import classes_of, truthful


def test_a_class_says_which_of_its_limits_this_machine_cannot_hold():
    weak = Preflight(
        "degraded", (), (Protection("disk", "each file only", False), Protection("memory", "cgroup", True))
    )
    told = truthful(classes_of(load()), weak)
    assert [cls.name for cls in told] == ["Regular", "Small", "Large"]
    assert all(cls.description.endswith("; not held on this machine: disk (each file only)") for cls in told)
    strong = replace(weak, protections=weak.protections[1:])
    assert truthful(classes_of(load()), strong) == classes_of(load())
