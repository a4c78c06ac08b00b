"""hostler user, hostler service-account, and scopes of hostler token."""

import json
from typing import Any

from tests.cli.conftest import Cli
from tests.cli.scripted import Refused, Scripted

OWN = "/api/hostler/v1"
ANN = "01990000-0000-7000-8000-00000000000a"
BEN = "01990000-0000-7000-8000-00000000000b"


def person(id_: str, name: str, **more: Any) -> dict[str, Any]:
    blank = {"role": "run", "email": "", "suspended": False, "lastSeenAt": None, "description": ""}
    return {"id": id_, "name": name, **blank, **more}


def people(server: Scripted, room: str = "users") -> None:
    everybody = [person(ANN, "Ann", email="ann@example.com"), person(BEN, "Ben", suspended=True)]

    def answer(body: Any) -> Any:
        return {**person(ANN, body["name"]), "token": "hostler_secret"} if body else {"accounts": everybody}

    server.answers[f"{OWN}/{room}"] = answer
    server.answers |= {f"{OWN}/{room}/{one['id']}": one for one in everybody}


def test_a_new_account_shows_its_first_token_once(cli: Cli, server: Scripted) -> None:
    people(server)
    assert cli("user", "create", "Ann", "--role", "admin", "--expires", "12h").out == "hostler_secret\n"
    assert server.asked[-1].body == {"name": "Ann", "role": "admin", "email": "", "give": "token", "days": 0.5}
    people(server, "service-accounts")
    assert cli("service-account", "create", "ci", "--for", "30d").out == "hostler_secret\n"
    assert server.asked[-1].body == {"name": "ci", "role": "run", "description": "", "account_days": 30}
    assert cli("user", "create", "Ann", "--role", "king").code == 2


def test_a_new_account_may_get_a_link(cli: Cli, server: Scripted) -> None:
    server.answers[f"{OWN}/users"] = {**person(ANN, "Ann"), "url": "http://here/open/x"}
    assert cli("user", "create", "Ann", "--link").out == "http://here/open/x\n"
    assert server.asked[-1].body["give"] == "link"


def test_people_are_listed(cli: Cli, server: Scripted) -> None:
    people(server)
    out = cli("user", "list").out
    assert "Ann" in out
    assert "suspended" in out
    assert json.loads(cli("user", "list", "--json").out)[0]["id"] == ANN


def test_people_are_meant_by_name_address_or_id(cli: Cli, server: Scripted) -> None:
    people(server)
    for given in ("ann", "ANN@example.com", ANN, ANN[:36]):
        assert cli("user", "suspend", given).code == 0
        asked = server.asked[-1]
        assert (asked.method, asked.path, asked.body) == (
            "PATCH",
            f"{OWN}/users/{ANN}",
            {"suspended": True, "stop": False},
        )
    for given, said in (("Eve", "nobody called"), ("0199", ANN)):
        ended = cli("user", "suspend", given)
        assert ended.code == 2
        assert said in ended.err


def test_accounts_are_changed_and_removed(cli: Cli, server: Scripted) -> None:
    for command, room in (("user", "users"), ("service-account", "service-accounts")):
        people(server, room)
        for arguments, method, body in (
            (("suspend", "Ann", "--stop"), "PATCH", {"suspended": True, "stop": True}),
            (("resume", "Ann"), "PATCH", {"suspended": False}),
            (("role", "Ann", "read"), "PATCH", {"role": "read"}),
            (("remove", "Ann"), "DELETE", None),
            (("show", "Ann"), "GET", None),
        ):
            assert cli(command, *arguments).code == 0
            asked = server.asked[-1]
            assert (asked.method, asked.path, asked.body or None) == (method, f"{OWN}/{room}/{ANN}", body)


def test_a_refusal_is_told_in_one_line(cli: Cli, server: Scripted) -> None:
    people(server)
    server.answers[f"{OWN}/users/{ANN}"] = Refused(400, "failed_precondition", "this is the last administrator")
    ended = cli("user", "role", "Ann", "run")
    assert (ended.code, ended.err) == (1, "hostler: this is the last administrator\n")


def test_a_token_with_a_scope_for_a_service_account(cli: Cli, server: Scripted) -> None:
    server.answers[f"{OWN}/tokens"] = {"token": "hostler_secret"}
    assert cli("token", "create", "deploy", "--scope", "run", "--for", "ci").out == "hostler_secret\n"
    assert server.asked[-1].body == {"name": "deploy", "scope": "run", "service_account": "ci"}
    assert cli("token", "create", "x", "--scope", "all of it").code == 2
