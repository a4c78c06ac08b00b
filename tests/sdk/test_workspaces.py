"""Environments on their own through the newer generation: made, used, stopped, started and deleted without an agent.

Releases that differ in their transport alone share what does not depend on it.
"""

from tests.sdk.clients import Client
from tests.sdk.code_host import CodeHost


def test_an_environment_is_made_from_a_url_and_lives_until_it_is_deleted(workspaces: Client, tool: str) -> None:
    seen = workspaces.run(
        """
        made = environments.create(arguments[0], name="my tool", timeout=60)
        place = made.workspace_dir()
        ran = made.run_command("pwd; git branch --show-current; echo oops >&2; exit 3", place, timeout_seconds=30)
        got = environments.get(made.id()).proto()
        listed = made.id() in [one.id() for one in environments.list(page_size=1)]
        made.write_file("kept.txt", "kept")
        environments.stop(made.id(), timeout=60)
        phase = environments.get(made.id()).proto().status.phase
        again = environments.start(made.id(), timeout=60)
        kept = again.read_file("kept.txt").content.data.decode()
        environments.delete(made.id())
        left = [one.proto().status.phase for one in environments.list() if one.id() == made.id()]
        tell(place=place, ran=vars(ran), name=got.metadata.name, url=got.metadata.original_context_url,
             listed=listed, phase=phase, kept=kept, left=left)
        """,
        tool,
    )
    assert (seen["ran"]["exit_code"], seen["ran"]["stderr"]) == (3, "oops\n")
    assert seen["ran"]["stdout"] == f"{seen['place']}\nmain\n"
    assert (seen["name"], seen["url"]) == ("my tool", tool)
    assert (seen["listed"], seen["phase"], seen["kept"]) == (True, 60, "kept")
    assert set(seen["left"]) <= {70}, "what is listed still is being deleted"


def test_files_are_read_and_written_in_each_mode(new: Client, tool: str) -> None:
    seen = new.run(
        """
        made = environments.create(arguments[0])
        def write(path, text, *mode):
            return refusal(lambda: made.write_file(path, text, *mode).bytes_written)
        def read(path, **part):
            return made.read_file(path, **part).content.data.decode()
        written = [
            write("new.txt", "first", Mode.CREATE),
            write("new.txt", "again", Mode.CREATE),
            write("new.txt", b" and more", Mode.APPEND),
            write("none.txt", "x", Mode.TRUNCATE),
            write("src/tool.txt", "whole", Mode.TRUNCATE),
            write("log/a/b.txt", "either", Mode.CREATE_OR_TRUNCATE),
            write("log/a/b.txt", "unsaid"),
        ]
        folder = made.read_file("src")
        missing = refusal(made.read_file, "nothing.txt")
        tell(written=written, texts=[read("new.txt"), read("src/tool.txt"), read("log/a/b.txt")],
             part=read("new.txt", offset=6, length=3), folder=folder.WhichOneof("result"),
             names=[one.path for one in folder.directory.entries], missing=missing)
        environments.delete(made.id(), force=True)
        """,
        tool,
    )
    created, twice, more, none, whole, either, unsaid = seen["written"]
    assert [one["answered"] for one in (created, more, whole, either, unsaid)] == ["5", "9", "5", "6", "6"]
    assert "answered" not in twice
    assert "answered" not in none
    assert seen["texts"] == ["first and more", "whole", "unsaid"]
    assert seen["part"] == "and"
    assert (seen["folder"], len(seen["names"])) == ("directory", 1)
    assert seen["missing"]["class"] == "NotFoundError"


def test_changes_are_told_against_the_commit_and_against_a_branch(new: Client, tool: str) -> None:
    seen = new.run(
        """
        made = environments.create_from_git(arguments[0], "topic", name="by branch", timeout=60)
        made.write_file("src/tool.txt", "one\\n2\\nthree\\n")
        made.write_file("new.txt", "new\\n")
        now, place = made.git_changes(unified=1), made.workspace_dir()
        # The host is this machine, which programs inside otherwise take for their own.
        git = "export no_proxy= NO_PROXY=; git fetch -q --unshallow origin main || git fetch -q origin main"
        fetched = made.run_command(git, place)
        since = made.git_changes(base_ref="origin/main")
        kinds = {one.file.path: one.file.change_type for one in now.files}
        bodies = {one.file.path: [hunk.body for hunk in one.diff.hunks] for one in now.files}
        tell(branch=now.status.branch, url=now.status.clone_url, total=now.status.total_changed_files, kinds=kinds,
             bodies=bodies, fetched=vars(fetched), since=[one.file.path for one in since.files],
             topic=made.read_file("topic.txt").content.data.decode())
        environments.delete(made.id(), force=True)
        """,
        tool,
    )
    assert (seen["branch"], seen["url"], seen["total"]) == ("topic", tool, 2)
    assert set(seen["kinds"]) == {"src/tool.txt", "new.txt"}
    assert len(set(seen["kinds"].values())) == 2
    (body,) = seen["bodies"]["src/tool.txt"]
    assert "-two\n+2\n" in body
    assert set(seen["since"]) >= {"src/tool.txt", "new.txt"}
    assert seen["topic"] == "on the branch\n"


def test_an_environment_without_code_is_made(new: Client) -> None:
    """The older of the two has no method for it, so both use the call that such a method makes."""
    seen = new.run(
        """
        made = call("CreateEnvironment", "environment", spec={"desiredPhase": "ENVIRONMENT_PHASE_RUNNING"}, name="s")
        workspace = environments.start(made["environment"]["id"], timeout=60)
        ran = workspace.run_command("ls -A | wc -l")
        environments.delete(workspace.id())
        tell(files=ran.stdout.strip(), name=workspace.proto().metadata.name)
        """
    )
    assert seen == {"files": "0", "name": "s"}


def test_what_cannot_be_cloned_is_said_in_words_that_clients_know(new: Client, hosting: CodeHost) -> None:
    seen = new.run(
        """
        missing = refusal(environments.create, arguments[0] + "/nothing-here.git", timeout=60)
        branch = refusal(environments.create_from_git, arguments[0] + "/tool.git", "nowhere", timeout=60)
        locked = refusal(environments.create, arguments[0] + "/private/code.git", timeout=60)
        tell(missing=missing, branch=branch, locked=locked)
        for one in environments.list():
            if one.proto().status.failure_message:
                environments.delete(one.id(), force=True)
        """,
        hosting.url,
    )
    assert seen["missing"]["class"] == "EnvironmentPolicyError"
    assert "no repository" in seen["missing"]["message"]
    assert "nowhere" in seen["branch"]["message"]
    assert seen["locked"]["class"] == "AuthenticationRequiredError"
