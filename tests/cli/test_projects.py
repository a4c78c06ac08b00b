"""Projects, and credentials for code hosts."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.scripted import OWN, Json, Refused, Scripted

SHOP, TOOL = "0198c2aa-0011-7000-8000-000000000011", "0198c2aa-0012-7000-8000-000000000012"
LARGE, REGULAR = "44444444-4444-4444-8444-000000000002", "44444444-4444-4444-8444-000000000001"
URL = "https://github.com/ann/shop"
CREDENTIAL = {"id": "0198c2aa-0021-7000-8000-000000000021", "host": "git.example:8443"}
SECRET = "ghp_0123456789abcdef"


def project(id_: str, name: str) -> Json:
    return {
        "id": id_,
        "metadata": {"name": name, "createdAt": "2026-01-01T00:00:00Z"},
        "initializer": {"specs": [{"contextUrl": {"url": URL}}]},
        "environmentClasses": [{"environmentClassId": LARGE}],
        "setup": {"commands": ["npm ci"]},
        "technicalDescription": "A shop.",
        "usedBy": {"totalSubjects": 2},
    }


@pytest.fixture
def shop(server: Scripted) -> Scripted:
    known = {SHOP: project(SHOP, "shop"), TOOL: project(TOOL, "tool")}

    def get(body: Json) -> Json | Refused:
        found = known.get(body["projectId"])
        return {"project": found} if found else Refused(404, "not_found", "project_id: there is no such project")

    classes = [{"id": REGULAR, "displayName": "Regular"}, {"id": LARGE, "displayName": "Large"}]
    server.answers |= {
        "ListProjects": {"projects": list(known.values())},
        "GetProject": get,
        "CreateProject": {"project": known[SHOP]},
        "UpdateProject": {"project": known[SHOP]},
        "DeleteProject": {},
        "UpdateProjectEnvironmentClasses": {},
        "ListEnvironmentClasses": {"environmentClasses": classes},
    }
    return server


def test_the_list_shows_name_and_repository(cli: Cli, shop: Scripted) -> None:
    out = cli("project", "list", "--search", "sh").lines
    assert [line.split()[-2:] for line in out[1:]] == [["shop", URL], ["tool", URL]]
    assert shop.bodies("ListProjects")[0]["filter"] == {"search": "sh"}
    assert [one["id"] for one in json.loads(cli("project", "list", "--json").out)] == [SHOP, TOOL]


def test_an_empty_list_says_how_to_begin(cli: Cli, shop: Scripted) -> None:
    shop.answers["ListProjects"] = {}
    ended = cli("project", "list")
    assert (ended.code, ended.out) == (0, "")
    assert "hostler project create" in ended.err
    searched = cli("project", "list", "--search", "nothing").err
    assert "'nothing'" in searched
    assert "hostler project list" in searched


def test_a_project_is_made_with_classes_and_setup(cli: Cli, shop: Scripted) -> None:
    words = ("project", "create", "shop", "--repo", "git@github.com:ann/shop.git", "--ref", "dev")
    ended = cli(*words, "--class", "large", "--class", REGULAR, "--setup", "npm ci", "--setup", "make", "-d", "A shop.")
    assert (ended.code, ended.out) == (0, f"{SHOP}\n")
    assert shop.bodies("CreateProject") == [
        {
            "name": "shop",
            "initializer": {"specs": [{"contextUrl": {"url": "https://github.com/ann/shop.git#dev"}}]},
            "technicalDescription": "A shop.",
            "setup": {"commands": ["npm ci", "make"]},
        }
    ]
    asked = shop.bodies("UpdateProjectEnvironmentClasses")[0]
    assert [(one["environmentClassId"], one["order"]) for one in asked["projectEnvironmentClasses"]] == [
        (LARGE, 0),
        (REGULAR, 1),
    ]


def test_a_folder_here_can_be_a_project(cli: Cli, shop: Scripted, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path / "code")], check=True)
    assert cli("project", "create", "shop", "--repo", str(tmp_path / "code")).code == 0
    made = shop.bodies("CreateProject")[0]["initializer"]["specs"][0]["contextUrl"]["url"]
    assert made == (tmp_path / "code").resolve().as_uri()


def test_a_class_that_is_not_there_makes_no_project(cli: Cli, shop: Scripted) -> None:
    ended = cli("project", "create", "shop", "--repo", URL, "--class", "Huge")
    assert (ended.code, "there are: Regular, Large" in ended.err) == (2, True)
    assert shop.bodies("CreateProject") == []


def test_a_project_is_found_by_name_id_or_prefix(cli: Cli, shop: Scripted) -> None:
    for given in ("tool", TOOL, "0198c2aa-0012"):
        assert json.loads(cli("project", "show", given, "--json").out)["id"] == TOOL
    several = cli("project", "show", "0198c2aa")
    assert (several.code, SHOP in several.err, TOOL in several.err) == (2, True, True)
    for given in ("nothing", "0198c2aa-0099-7000-8000-000000000099"):
        assert (cli("project", "show", given).code, cli("project", "rm", given).code) == (1, 1)


def test_a_project_is_shown_for_people(cli: Cli, shop: Scripted) -> None:
    out = cli("project", "show", "shop").out
    for text in (SHOP, URL, "Large", "npm ci", "2 in the last 30 days", "A shop."):
        assert text in out


def test_edit_sends_only_what_changes(cli: Cli, shop: Scripted) -> None:
    assert cli("project", "edit", "shop", "--name", "store", "--no-setup").code == 0
    assert shop.bodies("UpdateProject") == [{"projectId": SHOP, "name": "store", "setup": {"commands": []}}]
    assert cli("project", "edit", "shop", "--class", "Regular").out == f"changed {SHOP}\n"
    assert len(shop.bodies("UpdateProject")) == 1
    assert len(shop.bodies("UpdateProjectEnvironmentClasses")) == 1
    for words in ((), ("--setup", "x", "--no-setup"), ("--ref", "dev")):
        assert cli("project", "edit", "shop", *words).code == 2
    assert len(shop.bodies("UpdateProject")) == 1


def test_a_project_is_removed(cli: Cli, shop: Scripted) -> None:
    assert cli("project", "rm", "shop").out == f"removed {SHOP}\n"
    assert shop.bodies("DeleteProject") == [{"projectId": SHOP}]


def test_an_agent_runs_on_a_project(cli: Cli, shop: Scripted) -> None:
    assert cli("run", "task", "--project", "shop", "--ref", "dev", "--detach").code == 0
    assert shop.bodies("StartAgent")[0]["codeContext"] == {"projectId": SHOP, "pullRequest": {"fromBranch": "dev"}}
    assert cli("run", "task", "--project", "shop", "--repo", URL, "--detach").code == 2


@pytest.fixture
def hosts(server: Scripted) -> Scripted:
    server.answers |= {
        f"{OWN}/info": {"runnerId": "runner-1", "principal": {"id": "me"}},
        "ListHostAuthenticationTokens": {"tokens": [CREDENTIAL]},
        "CreateHostAuthenticationToken": {"token": {"id": "new", "host": "github.com"}},
        "UpdateHostAuthenticationToken": {},
        "DeleteHostAuthenticationToken": {},
    }
    return server


def test_a_secret_comes_from_standard_input_and_is_not_shown(cli: Cli, hosts: Scripted) -> None:
    ended = cli("secret", "set", "github.com", "--user", "ann", stdin=f"{SECRET}\n")
    assert (ended.code, ended.out) == (0, "stored for github.com\n")
    made = hosts.bodies("CreateHostAuthenticationToken")[0]
    assert (made["host"], made["token"], made["runnerId"]) == ("github.com", f"ann:{SECRET}", "runner-1")
    assert "expiresAt" not in made
    assert SECRET not in ended.out + ended.err
    assert hosts.bodies("ListHostAuthenticationTokens")[0]["filter"] == {"subjectId": "me"}


def test_a_second_secret_for_a_host_replaces_the_first(cli: Cli, hosts: Scripted) -> None:
    ended = cli("secret", "set", "GIT.example:8443", "--expires", "30d", "--json", stdin=SECRET)
    assert json.loads(ended.out) == CREDENTIAL
    changed = hosts.bodies("UpdateHostAuthenticationToken")[0]
    assert (changed["id"], changed["token"]) == (CREDENTIAL["id"], SECRET)
    assert changed["expiresAt"].endswith("Z")
    assert hosts.bodies("CreateHostAuthenticationToken") == []


def test_without_a_secret_nothing_is_stored(cli: Cli, hosts: Scripted) -> None:
    assert cli("secret", "set", "github.com", stdin=" \n").code == 2
    assert cli("secret", "set", "github.com", "--user", "a:b", stdin=SECRET).code == 2
    assert cli("secret", "set", "github.com", "--expires", "soon", stdin=SECRET).code == 2
    assert cli("secret", "set", "github.com", SECRET, stdin="").code == 2
    assert hosts.bodies("CreateHostAuthenticationToken") == []


def test_secrets_are_listed_and_removed_by_host(cli: Cli, hosts: Scripted) -> None:
    assert CREDENTIAL["host"] in cli("secret", "list").out
    assert json.loads(cli("secret", "list", "--json").out) == [CREDENTIAL]
    assert cli("secret", "rm", "git.EXAMPLE:8443").out == "removed the credential for git.example:8443\n"
    assert hosts.bodies("DeleteHostAuthenticationToken") == [{"id": CREDENTIAL["id"]}]
    missing = cli("secret", "rm", "github.com")
    assert (missing.code, "hostler secret list" in missing.err) == (1, True)
