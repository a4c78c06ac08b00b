"""People, service accounts and their tokens through the official clients."""

from uuid import uuid4

from tests.sdk.clients import Client


def test_a_json_client_knows_who_it_is_and_keeps_tokens(old: Client) -> None:
    seen = old.run(
        """
        me = client.users.get_authenticated_user().user
        same = client.users.get_user(user_id=me.id).user
        made = client.post("/gitpod.v1.UserService/CreatePersonalAccessToken", cast_to=object,
                           body={"userId": me.id, "description": arguments[0], "validFor": "3600s"})["token"]
        mine = [one for one in client.users.pats.list(filter={"user_ids": [me.id]}) if one.description == arguments[0]]
        got = client.users.pats.get(personal_access_token_id=mine[0].id).pat
        another = Gitpod(bearer_token=made)
        before = another.users.get_authenticated_user().user.name
        client.users.pats.delete(personal_access_token_id=got.id)
        try:
            another.users.get_authenticated_user()
            after = "let in"
        except APIStatusError as refused:
            after = type(refused).__name__
        last = refusal(client.users.set_suspended, user_id=me.id, suspended=True)
        tell(me=me, same=same.id == me.id, mine=len(mine), before=before, after=after, last=last)
        """,
        uuid4(),
    )
    assert (seen["me"]["name"], seen["me"]["status"], seen["same"]) == ("owner", "USER_STATUS_ACTIVE", True)
    assert (seen["mine"], seen["before"], seen["after"]) == (1, "owner", "AuthenticationError")
    assert "last administrator" in str(seen["last"])


def test_a_connect_client_keeps_service_accounts(new: Client) -> None:
    name = f"builder {uuid4()}"[:60]
    seen = new.run(
        """
        kind = "service_account"
        made = call("CreateServiceAccount", kind, name=arguments[0], description="builds",
                    validUntil="2100-01-01T00:00:00Z")["serviceAccount"]
        named = {"serviceAccountId": made["id"]}
        token = call("CreateServiceAccountAccessToken", kind, **named)["token"]
        found = call("ListServiceAccounts", kind, filter={"search": arguments[0]})["serviceAccounts"]
        changed = call("UpdateServiceAccount", kind, description="", **named)["serviceAccount"]
        tokens = [one for one in call("ListServiceAccountTokens", kind)["tokens"]
                  if one["serviceAccountId"] == made["id"]]
        call("DeleteServiceAccountToken", kind, serviceAccountTokenId=tokens[0]["id"])
        me = call("GetAuthenticatedUser", "user")["user"]
        pat = call("CreatePersonalAccessToken", "user", userId=me["id"], description="x", readOnly=True)["token"]
        call("DeleteServiceAccount", kind, **named)
        try:
            call("GetServiceAccount", kind, **named)
            gone = "there"
        except ConnectError as refused:
            gone = str(refused.code)
        tell(found=[one["id"] for one in found] == [made["id"]], token=bool(token), tokens=len(tokens),
             description=changed.get("description", ""), me=me["name"], pat=bool(pat), gone=gone)
        """,
        name,
    )
    assert (seen["found"], seen["token"], seen["tokens"], seen["description"]) == (True, True, 1, "")
    assert (seen["me"], seen["pat"]) == ("owner", True)
    assert "not" in seen["gone"].lower()
