"""The prompt library through every client."""

from typing import Any
from uuid import uuid4

from tests.sdk.clients import Client


def library(seen: dict[str, Any], mark: str) -> None:
    """Check what came of a prompt that was made, read, changed, found and deleted."""
    assert seen["read"] == seen["made"]
    assert seen["read"]["metadata"]["name"] == f"Review {mark}"
    assert seen["read"]["spec"]["command"] == f"review-{mark}"
    assert seen["read"]["spec"]["prompt"] == "Look at it."
    assert seen["changed"]["spec"] == {**seen["read"]["spec"], "prompt": "Look twice."}
    assert seen["changed"]["metadata"]["name"] == f"Review {mark}"
    assert seen["clash"]["code"] == "already_exists"
    assert seen["commands"] == [f"Review {mark}"]
    assert seen["searched"] == [f"note {mark} {n}" for n in (3, 2, 1, 0)]
    assert seen["gone"]["code"] == "not_found"


def test_a_json_client_keeps_a_library_of_prompts(old: Client) -> None:
    mark = uuid4().hex[:8]
    seen = old.run(
        """
        mark = arguments[0]
        def names(**filter):  # the types of this generation know no search yet
            return [one.metadata.name for one in agents.list_prompts(filter=filter, page_size=2)]
        made = agents.create_prompt(name=f"Review {mark}", description="Reviews a change", prompt="Look at it.",
                                    is_template=True, is_command=True, command=f"review-{mark}").prompt
        for n in range(4):
            agents.create_prompt(name=f"note {mark} {n}", description="A note", prompt="Say it.", is_template=True)
        clash = refusal(agents.create_prompt, name="again", description="d", prompt="p", is_command=True,
                        command=f"REVIEW-{mark}")
        read = agents.retrieve_prompt(prompt_id=made.id).prompt
        agents.update_prompt(prompt_id=made.id, spec={"prompt": "Look twice."})
        changed = agents.retrieve_prompt(prompt_id=made.id).prompt
        commands, searched = names(command=f"review-{mark}"), names(search=f"NOTE {mark}")
        agents.delete_prompt(prompt_id=made.id)
        gone = refusal(agents.retrieve_prompt, prompt_id=made.id)
        tell(made=made, read=read, changed=changed, clash=clash, commands=commands, searched=searched, gone=gone)
        """,
        mark,
    )
    library(seen, mark)
    assert seen["clash"]["class"] == "ConflictError"
    assert seen["gone"]["class"] == "NotFoundError"


def test_a_connect_client_keeps_a_library_of_prompts(new: Client) -> None:
    mark = uuid4().hex[:8]
    seen = new.run(
        """
        mark = arguments[0]
        def names(**filter):
            found, token = [], ""
            while True:
                page = call("ListPrompts", filter=filter, pagination={"pageSize": 2, "token": token})
                found += [one["metadata"]["name"] for one in page.get("prompts", [])]
                token = page.get("pagination", {}).get("nextToken", "")
                if not token:
                    return found
        made = call("CreatePrompt", name=f"Review {mark}", description="Reviews a change", prompt="Look at it.",
                    isTemplate=True, isCommand=True, command=f"review-{mark}")["prompt"]
        for n in range(4):
            call("CreatePrompt", name=f"note {mark} {n}", description="A note", prompt="Say it.", isTemplate=True)
        clash = refusal(call, "CreatePrompt", name="again", description="d", prompt="p", isCommand=True,
                        command=f"REVIEW-{mark}")
        read = call("GetPrompt", promptId=made["id"])["prompt"]
        call("UpdatePrompt", promptId=made["id"], spec={"prompt": "Look twice."})
        changed = call("GetPrompt", promptId=made["id"])["prompt"]
        commands, searched = names(command=f"review-{mark}"), names(search=f"NOTE {mark}")
        call("DeletePrompt", promptId=made["id"])
        gone = refusal(call, "GetPrompt", promptId=made["id"])
        tell(made=made, read=read, changed=changed, clash=clash, commands=commands, searched=searched, gone=gone)
        """,
        mark,
    )
    library(seen, mark)
