"""Promises of the API that a review found broken, each kept by a test."""

from tests.api.conftest import Api


async def test_the_log_shows_system_prompts_to_administrators_only(api: Api) -> None:
    execution = await api.started()
    url = f"{api.url}/api/hostler/v1/executions/{execution}/log"
    shown = {
        token: (await api.http.get(url, headers=api.headers(token=token))).json()["events"][0]["body"]["agent"]
        for token in ("owner-token", "bot-token", "read-token")
    }
    assert shown["owner-token"].pop("system_prompt") == "be kind"
    assert shown["bot-token"] == shown["read-token"] == shown["owner-token"]
