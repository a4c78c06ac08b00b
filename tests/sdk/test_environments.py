"""The environment workflows of the newer generation, on what an agent has worked in."""

from tests.sdk.clients import Client


def test_a_connect_client_looks_into_the_environment_of_an_agent(new: Client, project: str) -> None:
    seen = new.run(
        """
        session = start(arguments[0], "Mend the failing test")
        session.wait_running()
        session.watch_result()
        (used,) = get(session.id())["status"]["usedEnvironments"]
        workspace = client.environments().get(used["environmentId"])
        tests = workspace.run_command(command="python3 -m unittest -q", working_directory=workspace.workspace_dir())
        code = workspace.read_file("wordcount/ranking.py").content
        workspace.write_file("notes.txt", b"looked at")
        changes = workspace.git_changes()
        diff = {one.file.path: one.diff.hunks[0].body for one in changes.files}
        tell(tests=[tests.exit_code, tests.stderr], code=code.data.decode(), branch=changes.status.branch, diff=diff)
        """,
        project,
    )
    code, said = seen["tests"]
    assert (code, "Ran 5 tests" in said) == (0, True)
    assert seen["code"].endswith("    return ranked[:limit]\n")
    assert seen["branch"] == "main"
    assert list(seen["diff"]) == ["wordcount/ranking.py", "notes.txt"]
    assert "\n-    return ranked[: limit - 1]\n+    return ranked[:limit]\n" in seen["diff"]["wordcount/ranking.py"]
    assert seen["diff"]["notes.txt"].startswith("+looked at")


def test_a_connect_client_lists_stops_starts_and_deletes_environments(new: Client) -> None:
    """Files outlive a stop; what is deleted is gone."""
    seen = new.run(
        """
        session = start(task="hello")
        session.wait_running()
        (used,) = get(session.id())["status"]["usedEnvironments"]
        environments = client.environments()
        workspace = environments.get(used["environmentId"])
        workspace.write_file("notes.txt", b"kept")
        listed = workspace.id() in [one.id() for one in environments.list()]
        session.watch_result()
        environments.stop(workspace.id())
        again = environments.start(workspace.id())
        notes = again.read_file("notes.txt").content.data.decode()
        environments.delete(workspace.id(), force=True)
        tell(listed=listed, notes=notes, gone=refusal(environments.get, workspace.id()))
        """
    )
    assert (seen["listed"], seen["notes"]) == (True, "kept")
    assert seen["gone"]["class"] == "NotFoundError"
