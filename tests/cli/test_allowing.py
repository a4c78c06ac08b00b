"""`hostler allow` with a running server: which addresses it calls, and what it says."""

from tests.cli.conftest import Cli
from tests.cli.scripted import ENVIRONMENT, ID, OWN, Scripted, execution

HOSTS = {"hosts": [{"host": "example.org", "why": "once", "by": "owner", "at": "2026-01-01T00:00:00Z"}]}


def test_a_host_is_allowed_in_one_environment(cli: Cli, server: Scripted) -> None:
    server.answers[f"{OWN}/environments/{ENVIRONMENT}/hosts"] = HOSTS
    ended = cli("allow", "Example.org", "example.net", "--environment", ENVIRONMENT[:14])
    assert (ended.code, ended.out) == (
        0,
        f"example.org is allowed in {ENVIRONMENT} until it stops\n"
        f"example.net is allowed in {ENVIRONMENT} until it stops\n",
    )
    assert server.bodies("hosts") == [{"host": "Example.org", "for": "once"}, {"host": "example.net", "for": "once"}]


def test_an_execution_stands_for_its_environment(cli: Cli, server: Scripted) -> None:
    server.executions = [execution(ID, usedEnvironments=[{"environmentId": ENVIRONMENT}])]
    server.answers[f"{OWN}/environments/{ENVIRONMENT}/hosts"] = HOSTS
    assert cli("allow", "example.org", "-e", ID[:14]).code == 0
    assert len(server.bodies("hosts")) == 1


def test_a_host_is_allowed_for_a_class(cli: Cli, server: Scripted) -> None:
    server.answers[f"{OWN}/environment-classes/Extra%20Large/hosts"] = HOSTS
    ended = cli("allow", "example.org", "--class", "Extra Large")
    assert (ended.code, ended.out) == (0, "example.org is allowed in all of class Extra Large\n")


def test_one_or_the_other_and_never_the_settings_beside_it(cli: Cli, server: Scripted) -> None:
    assert cli("allow", "example.org", "--class", "Regular", "--environment", ENVIRONMENT).code == 2
    assert cli("allow", "example.org", "--class", "Regular", "--config", "hostler.toml").code == 2
    assert cli("allow", "not a host", "--class", "Regular").code == 2
    assert not server.bodies("hosts")
