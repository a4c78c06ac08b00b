"""What the organization's policy allows."""

from typing import Any

import pytest

from hostler.core.errors import FailedPrecondition, InvalidArgument
from hostler.core.policy import Caps, Policy, of_json, to_json
from hostler.core.projects import repository_key
from hostler.core.providers import LocalRepository


def test_an_empty_policy_allows_everything():
    policy = Policy()
    policy.check_agent("0000", "codex")
    policy.check_model("openai:gpt-5")
    policy.check_repository("github.com/owner/name", of="url")
    policy.check_host("*.example.org")
    policy.check_sharing("send")
    assert not policy.denies("example.org", 443)
    assert policy.rules() == ()


def test_agents_models_and_repositories_are_named_by_patterns():
    policy = Policy(agents=("codex",), models=("anthropic:*",), repositories=("github.com/acme/*",))
    policy.check_agent("any-id", "Codex")
    policy.check_model("anthropic:claude-opus-4-6")
    policy.check_repository("github.com/acme/web", of="url")
    with pytest.raises(FailedPrecondition, match="agent hostler"):
        policy.check_agent("any-id", "hostler")
    with pytest.raises(FailedPrecondition, match="model openai:gpt-5"):
        policy.check_model("openai:gpt-5")
    with pytest.raises(FailedPrecondition, match="repository github"):
        policy.check_repository("github.com/acme-too/web", of="url")


@pytest.mark.parametrize(
    ("hosts", "denied", "asked", "allowed"),
    [
        ((), (), "example.org", True),
        (("example.org",), (), "example.org", True),
        (("example.org",), (), "other.org", False),
        (("*.example.org",), (), "a.example.org", True),
        (("*.example.org",), (), "example.org", True),
        (("*.example.org",), (), "*.b.example.org", True),
        (("a.example.org",), (), "*.example.org", False),
        (("example.org:8443",), (), "example.org:8443", True),
        (("example.org:8443",), (), "example.org", False),
        ((), ("example.org",), "example.org", False),
        ((), ("*.example.org",), "a.example.org", False),
        ((), ("a.example.org",), "*.example.org", False),
        ((), ("a.example.org",), "b.example.org", True),
        ((), ("a.example.org:25",), "*.example.org:443", True),
        (("*.example.org",), ("a.example.org",), "a.example.org", False),
    ],
)
def test_hosts_that_people_may_open(hosts: tuple[str, ...], denied: tuple[str, ...], asked: str, allowed: bool):
    policy = Policy(hosts=hosts, denied_hosts=denied)
    if allowed:
        policy.check_host(asked)
        return
    with pytest.raises(FailedPrecondition, match="policy"):
        policy.check_host(asked)


def test_a_denied_host_is_denied_on_every_port_unless_one_is_named():
    policy = Policy(denied_hosts=("example.org", "*.mail.org:25"))
    assert policy.denies("example.org", 8443)
    assert policy.denies("a.mail.org", 25)
    assert not policy.denies("a.mail.org", 443)


@pytest.mark.parametrize(("sharing", "may", "allowed"), [("off", "view", False), ("view", "view", True)])
def test_links_allow_no_more_than_the_policy(sharing: Any, may: str, allowed: bool):
    if allowed:
        Policy(sharing=sharing).check_sharing(may)
    with pytest.raises(FailedPrecondition, match="links"):
        Policy(sharing=sharing).check_sharing(may if not allowed else "send")


def test_caps_of_one_person_stand_instead_of_those_of_all():
    policy = Policy(caps=Caps(running=2, disk_gib=5), caps_of={"ann": Caps(running=9)})
    assert policy.caps_for("ann") == Caps(running=9)
    assert policy.caps_for("bob") == Caps(running=2, disk_gib=5)


def test_a_policy_survives_json_and_a_change_leaves_the_rest():
    policy = Policy(agents=("codex",), caps=Caps(running=2), caps_of={"ann": Caps(disk_gib=1)}, sight="own")
    assert of_json(to_json(policy)) == policy
    changed = of_json({"models": ["openai:*"]}, policy)
    assert (changed.models, changed.agents, changed.sight) == (("openai:*",), ("codex",), "own")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"agent": []}, "agent"),
        ({"agents": "codex"}, "agents"),
        ({"agents": [""]}, "agents[0]"),
        ({"agents": ["a", 1]}, "agents[1]"),
        ({"hosts": ["not a host"]}, "host"),
        ({"sharing": "maybe"}, "sharing"),
        ({"sight": None}, "sight"),
        ({"caps": {"running": -1}}, "caps.running"),
        ({"caps": {"running": True}}, "caps.running"),
        ({"caps": {"speed": 1}}, "caps.speed"),
        ({"caps_of": {"ann": {"disk_gib": 1.5}}}, "caps_of.ann.disk_gib"),
        ({"caps_of": []}, "caps_of"),
    ],
)
def test_what_is_no_policy_is_refused_by_name(given: dict[str, Any], field: str):
    with pytest.raises(InvalidArgument) as refused:
        of_json(given)
    assert refused.value.field == field


def test_a_way_around_through_the_folder_above_leads_where_it_leads():
    policy = Policy(repositories=("/srv/ours/*",))
    policy.check_repository(repository_key(LocalRepository("/srv/ours/./web")), of="url")
    with pytest.raises(FailedPrecondition, match="repository /srv/theirs"):
        policy.check_repository(repository_key(LocalRepository("/srv/ours/../theirs")), of="url")
