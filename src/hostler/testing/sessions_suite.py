# ruff: noqa: D102 a test's name is its sentence
"""What every machine must do with files, git, terminals and attached processes; see `environments_suite`."""

import asyncio

import pytest

from hostler.core.errors import Fenced, MachineLost
from hostler.core.machines import (
    Attached,
    Cancelled,
    Command,
    Edited,
    EditRefused,
    Exited,
    FileProblem,
    GitChange,
    Pty,
    Written,
)
from hostler.testing.environments_suite import CRIPPLE, Work, shell, text


@pytest.fixture
async def repository(work: Work) -> Work:
    """Return an execution at work in a repository with one commit."""
    setup = (
        "git init -q -b main . && git config user.name T && git config user.email t@localhost"
        " && printf 'one\\n' > kept.txt && printf 'gone\\n' > gone.txt && git add . && git commit -q -m first"
    )
    assert (await work.run(setup)).outcome == Exited(0)
    return work


class FileSuite:
    """Files are read and changed inside; changes happen once per id."""

    async def test_a_file_is_written_whole_and_read_in_parts(self, work: Work) -> None:
        body = bytes(range(256)) * 5000
        written = await work.machine.write(work.operation(), "a/b/c.bin", body, incarnation=work.incarnation)
        assert written == Written(len(body), existed=False)
        part = await work.machine.read("a/b/c.bin", offset=1000, limit=512)
        assert (part.data, part.size) == (body[1000:1512], len(body))

    async def test_a_repeated_write_answers_the_first_result_and_writes_nothing(self, work: Work) -> None:
        operation = work.operation()
        await work.machine.write(operation, "f", b"first", incarnation=work.incarnation)
        again = await work.machine.write(operation, "f", b"second", incarnation=work.incarnation)
        assert again == Written(5, existed=False, replayed=True)
        assert (await work.machine.read("f")).data == b"first"

    async def test_a_write_keeps_the_mode_and_follows_a_link_inside(self, work: Work) -> None:
        await work.run("echo old > script; chmod 755 script; ln -s script link")
        await work.machine.write(work.operation(), "link", b"new", incarnation=work.incarnation)
        assert (await work.machine.stat("script")).mode == 0o755
        assert (await work.machine.stat("link")).kind == "link"
        assert (await work.machine.read("script")).data == b"new"

    async def test_an_edit_replaces_the_one_occurrence_once(self, work: Work) -> None:
        await work.machine.write(work.operation(), "f", b"eins\nzwei\ndrei\n", incarnation=work.incarnation)
        operation = work.operation()
        edited = await work.machine.edit(operation, "f", "zwei", "zwölf zwei", incarnation=work.incarnation)
        assert edited == Edited(2)
        again = await work.machine.edit(operation, "f", "zwei", "zwölf zwei", incarnation=work.incarnation)
        assert again == Edited(2, replayed=True)
        assert (await work.machine.read("f")).data.decode() == "eins\nzwölf zwei\ndrei\n"

    async def test_an_edit_that_is_not_unique_changes_nothing_and_says_where(self, work: Work) -> None:
        await work.machine.write(work.operation(), "f", b"a\nb\na\n", incarnation=work.incarnation)
        several = await work.machine.edit(work.operation(), "f", "a", "c", incarnation=work.incarnation)
        assert several == EditRefused(2, (1, 3))
        none = await work.machine.edit(work.operation(), "f", "x", "c", incarnation=work.incarnation)
        assert none == EditRefused(0)
        assert (await work.machine.read("f")).data == b"a\nb\na\n"

    async def test_what_cannot_be_read_or_written_is_told_by_kind(self, work: Work) -> None:
        await work.run("mkdir folder; mkfifo pipe")
        for path, kind in (("missing", "not_found"), ("folder", "is_directory"), ("pipe", "other")):
            with pytest.raises(FileProblem) as refused:
                await work.machine.read(path)
            assert (refused.value.kind, path in str(refused.value)) == (kind, True)
        with pytest.raises(FileProblem) as refused:
            await work.machine.write(work.operation(), "folder", b"", incarnation=work.incarnation)
        assert refused.value.kind == "is_directory"
        with pytest.raises(FileProblem) as refused:
            await work.machine.edit(work.operation(), "missing", "a", "b", incarnation=work.incarnation)
        assert refused.value.kind == "not_found"

    async def test_a_listing_goes_as_deep_and_as_long_as_asked(self, work: Work) -> None:
        await work.run("mkdir -p d/e; echo x > d/e/deep; echo xyz > top; ln -s top link")
        shallow = await work.machine.list(".")
        assert [(entry.path, entry.kind) for entry in shallow] == [
            ("d", "directory"),
            ("link", "link"),
            ("top", "file"),
        ]
        assert [entry.path for entry in await work.machine.list(".", depth=3)] == [
            "d",
            "link",
            "top",
            "d/e",
            "d/e/deep",
        ]
        assert len(await work.machine.list(".", depth=3, limit=2)) == 2
        assert (await work.machine.stat("top")).size == 4

    async def test_a_circle_of_links_is_told_not_followed(self, work: Work) -> None:
        await work.run("ln -s b a; ln -s a b; mkdir d; ln -s .. d/up")
        with pytest.raises(FileProblem):
            await work.machine.read("a")
        assert [entry.path for entry in await work.machine.list("d", depth=9)] == ["up"]


class GitSuite:
    """Git runs inside and leaves the repository as it is."""

    async def test_status_names_branch_head_and_changes(self, repository: Work) -> None:
        await repository.run("printf 'two\\n' >> kept.txt; git mv gone.txt 'mo ved.txt'; echo new > 'n ew.txt'")
        status = await repository.machine.git_status()
        assert status.branch == "main"
        assert status.head
        assert set(status.changes) == {
            GitChange(".M", "kept.txt"),
            GitChange("R.", "mo ved.txt"),
            GitChange("??", "n ew.txt"),
        }

    async def test_the_diff_holds_everything_and_applies_elsewhere(self, repository: Work) -> None:
        base = (await repository.machine.git_status()).head
        await repository.run(
            "printf 'two\\n' >> kept.txt; rm gone.txt; head -c 3000 /dev/urandom > blob;"
            " mkdir d; echo new > d/new.txt; echo ignored > ig; echo ig > .gitignore; git add d"
        )
        before = text(
            await repository.run("git status --porcelain; git ls-files -s; find .git -type f | sort | grep -v index")
        )
        patch = await repository.machine.git_diff(base)
        assert not patch.cut
        after = text(
            await repository.run("git status --porcelain; git ls-files -s; find .git -type f | sort | grep -v index")
        )
        assert after == before
        await repository.machine.write(
            repository.operation(), "../p.patch", patch.data, incarnation=repository.incarnation
        )
        check = (
            "git stash -q --include-untracked && git apply ../p.patch && cat kept.txt d/new.txt && wc -c < blob && ls"
        )
        seen = text(await repository.run(check)).split()
        assert seen[:4] == ["one", "two", "new", "3000"]
        assert "gone.txt" not in seen
        assert "ignored" not in patch.data.decode(errors="replace")

    async def test_a_diff_that_is_too_long_says_that_it_is_cut(self, repository: Work) -> None:
        await repository.run("seq 1 10000 > many")
        patch = await repository.machine.git_diff(limit=1000)
        assert (len(patch.data), patch.cut) == (1000, True)

    async def test_a_diff_runs_no_program_of_the_repository(self, repository: Work) -> None:
        await repository.run(
            "printf '#!/bin/sh\\ntouch /tmp/ran\\n' > evil; chmod +x evil; git config core.fsmonitor ./evil;"
            " git config diff.external ./evil; mkdir -p .git/hooks; cp evil .git/hooks/post-index-change"
        )
        await repository.machine.git_diff()
        await repository.machine.git_status()
        assert not await repository.exists("/tmp/ran")

    async def test_outside_a_repository_git_says_so(self, work: Work) -> None:
        await work.run("mkdir -p /tmp/none")
        for call in (work.machine.git_status(), work.machine.git_diff()):
            with pytest.raises(FileProblem):
                await call


class TerminalSuite:
    """Terminals go on while nobody looks."""

    async def _until(self, terminal: Pty, mark: bytes) -> bytes:
        seen = b""
        async for data in terminal.output():
            seen += data
            if mark in seen:
                break
        return seen

    async def test_a_terminal_is_typed_into_resized_and_rejoined(self, work: Work) -> None:
        operation, command = work.operation("tty"), Command(("/bin/sh",), env={"PS1": "$ "})
        terminal = await work.machine.pty(operation, command, incarnation=work.incarnation, rows=24, cols=80)
        await terminal.resize(50, 132)
        await terminal.write(b"tty; stty size; echo fir''st\n")
        seen = await self._until(terminal, b"first")
        assert b"/dev/pts/" in seen
        assert b"50 132" in seen
        terminal.close()
        again = await work.machine.pty(operation, command, incarnation=work.incarnation, rows=24, cols=80)
        await again.write(b"echo sec''ond\n")
        seen = await self._until(again, b"second")
        assert b"first" in seen
        await again.kill()
        assert b"second" not in b"".join([data async for data in again.output()])
        again.close()

    async def test_terminals_are_listed_joined_and_never_made_by_joining(self, work: Work) -> None:
        operation, command = work.operation("tty"), Command(("/bin/sh",), env={"PS1": "$ "})
        opened = await work.machine.pty(
            operation, command, incarnation=work.incarnation, rows=24, cols=80, notes={"a": "b"}
        )
        (listed,) = await work.machine.terminals("work")
        assert (listed.id, listed.program, listed.rows, listed.notes) == ("tty", "/bin/sh", 24, {"a": "b"})
        await opened.write(b"echo fir''st\n")
        await self._until(opened, b"first")
        joined = await work.machine.join(operation, incarnation=work.incarnation)
        assert b"first" in joined.history
        assert joined.size == (24, 80)
        await joined.write(b"exit 4\n")
        assert [data async for data in joined.news()]
        assert joined.outcome == Exited(4)
        assert await work.machine.terminals("work") == []
        with pytest.raises(FileProblem):
            await work.machine.join(work.operation("never"), incarnation=work.incarnation)
        for one in (opened, joined):
            one.close()

    async def test_a_killed_group_closes_its_terminals(self, work: Work) -> None:
        terminal = await work.machine.pty(
            work.operation(), shell("echo ready; sleep 86408"), incarnation=work.incarnation, rows=9, cols=9
        )
        await self._until(terminal, b"ready")
        await work.machine.kill_group("work", 2)
        assert [data async for data in terminal.output()] == []
        with pytest.raises(Fenced):
            await terminal.write(b"x")
        assert await work.processes("86408") == 0
        terminal.close()


ECHO = 'while read -r line; do echo "got $line"; done; echo bye'


class AttachedSuite:
    """Attached processes are rejoined at a byte offset, and take each message once."""

    async def _attach(self, work: Work, script: str = ECHO, name: str = "agent", offset: int = 0) -> Attached:
        command, operation = shell(script), work.operation(name)
        return await work.machine.attach(operation, command, incarnation=work.incarnation, offset=offset)

    async def _until(self, attached: Attached, size: int) -> list[tuple[int, bytes]]:
        seen: list[tuple[int, bytes]] = []
        async for offset, data in attached.output():
            seen.append((offset, data))
            if offset + len(data) >= size:
                break
        return seen

    async def test_messages_are_written_whole_and_once(self, work: Work) -> None:
        agent = await self._attach(work, "head -c 4194305 | wc -c; cat")
        large = b"x" * (4 << 20) + b"\n"
        assert await agent.send("m1", large)
        assert not await agent.send("m1", large)
        assert await agent.send("m2", b"after\n")
        seen = await self._until(agent, 14)
        assert b"".join(data for _, data in seen) == b"4194305\nafter\n"
        await agent.kill()
        agent.close()

    async def test_a_process_is_rejoined_and_replayed_from_an_offset(self, work: Work) -> None:
        agent = await self._attach(work)
        await agent.send("m1", b"one\n")
        await self._until(agent, 8)
        agent.close()
        again = await self._attach(work, "never run", offset=4)
        await again.send("m2", b"two\n")
        seen = await self._until(again, 16)
        assert seen[0][0] == 4
        assert b"".join(data for _, data in seen) == b"one\ngot two\n"
        again.close()

    async def test_the_end_is_told_with_code_and_errors(self, work: Work) -> None:
        agent = await self._attach(work, "echo out; echo oops >&2; exit 5")
        assert b"".join([data async for _, data in agent.output()]) == b"out\n"
        assert await agent.wait() == Exited(5)
        assert await agent.errors() == b"oops\n"
        agent.close()

    async def test_only_the_newest_owner_may_write_or_rejoin(self, work: Work) -> None:
        agent = await self._attach(work)
        await work.machine.register("work", 2)
        with pytest.raises(Fenced):
            await agent.send("m1", b"late\n")
        with pytest.raises(Fenced):
            await self._attach(work)
        work.fence = 2
        newer = await self._attach(work)
        await newer.send("m2", b"new\n")
        assert b"".join(data for _, data in await self._until(newer, 8)) == b"got new\n"
        newer.close()
        agent.close()

    async def test_kill_ends_it_with_all_it_started(self, work: Work) -> None:
        agent = await self._attach(work, "(setsid sleep 86409 &); echo ready; sleep 86409")
        await self._until(agent, 6)
        waiting = asyncio.ensure_future(agent.wait())
        await agent.kill()
        assert await waiting == Cancelled()
        assert await work.processes("86409") == 0
        agent.close()

    async def test_a_group_kill_ends_it_and_its_id_never_starts_again(self, work: Work) -> None:
        agent = await self._attach(work, "echo ready; sleep 86410")
        await self._until(agent, 6)
        await work.machine.kill_group("work", 2, ["later"])
        work.fence = 2
        for name in ("agent", "later"):
            again = await self._attach(work, "touch started", name)
            assert await again.wait() == Cancelled()
            again.close()
        assert not await work.exists("started")
        agent.close()

    async def test_a_lost_machine_ends_the_stream_with_an_error(self, work: Work) -> None:
        agent = await self._attach(work, "echo ready; sleep 86411")
        await self._until(agent, 6)
        with pytest.raises(MachineLost):
            await work.run(CRIPPLE)
        with pytest.raises(MachineLost):
            [data async for data in agent.output()]
        agent.close()


class SearchSuite:
    """Files are found by name, and changes are told, without leaving the environment."""

    async def test_names_are_found_by_glob_part_and_letters(self, work: Work) -> None:
        await work.run("mkdir -p a/b .git; touch a/One.py a/b/two.py .git/one.py; ln -s / a/root")
        found = await work.machine.find(".", "*.py")
        assert [one.path for one in found.entries] == ["a/One.py", "a/b/two.py"]
        assert not found.cut
        assert [one.path for one in (await work.machine.find(".", "one")).entries] == ["a/One.py"]
        assert [one.path for one in (await work.machine.find(".", "tpy", fuzzy=True)).entries] == ["a/b/two.py"]
        assert [one.path for one in (await work.machine.find(".", "", kind="directory", depth=1)).entries] == [
            ".git",
            "a",
        ]
        assert (await work.machine.find(".", "", kind="any", limit=2)).cut

    async def test_names_of_any_length_fit_into_an_answer(self, work: Work) -> None:
        make = r"""
            i=0; while [ $i -lt 60 ]; do i=$((i+1)); name="$name$(printf 'a\\001\\303\\244')"; done
            i=10000; while [ $i -lt 20000 ]; do i=$((i+1)); echo "$name$i"; done | xargs touch
        """
        assert (await work.run(make)).outcome == Exited(0)
        listed = await work.machine.list(limit=10_000)
        found = await work.machine.find(".", "", limit=10_000)
        assert 1000 < len(listed) == len(found.entries) < 10_000
        assert found.cut

    async def test_changes_are_told_until_nobody_listens(self, work: Work) -> None:
        watching = work.machine.watch(["*.tmp"])
        seen: dict[str, str] = {}
        coming = asyncio.ensure_future(anext(watching))
        async with asyncio.timeout(30):
            while not {"new/file", "old"} <= seen.keys():
                await work.run("touch x.tmp old; rm old; mkdir -p new; echo x >> new/file")
                while (await asyncio.wait({coming}, timeout=0.2))[0]:
                    seen |= {one.path: one.kind for one in coming.result().files}
                    coming = asyncio.ensure_future(anext(watching))
        coming.cancel()
        await asyncio.wait({coming})
        await watching.aclose()
        assert seen["old"] == "deleted"
        assert "x.tmp" not in seen

    async def test_what_is_new_is_not_made_over_and_what_is_missing_is_not_made(self, work: Work) -> None:
        machine, incarnation = work.machine, work.incarnation
        await machine.write(work.operation(), "f", b"one", incarnation=incarnation, how="create")
        with pytest.raises(FileProblem) as refused:
            await machine.write(work.operation(), "f", b"two", incarnation=incarnation, how="create")
        assert refused.value.kind == "exists"
        with pytest.raises(FileProblem) as refused:
            await machine.write(work.operation(), "g", b"two", incarnation=incarnation, how="truncate")
        assert refused.value.kind == "not_found"
        appended = work.operation()
        for _ in range(2):
            await machine.write(appended, "f", b" two", incarnation=incarnation, how="append")
        assert (await machine.read("f")).data == b"one two"


class InputSuite:
    """The standard input of a command comes in parts, each byte once."""

    async def test_input_is_given_while_the_command_runs(self, work: Work) -> None:
        command = Command(("/bin/sh", "-c", "echo ready; cat; echo end"), stdin=b"zero ", more_input=True)
        running = await work.begin_run(command, "in").ready()
        operation, incarnation = work.operation("in"), work.incarnation
        for _ in range(2):
            assert await work.machine.feed(operation, 5, b"one ", last=False, incarnation=incarnation) == 9
        assert await work.machine.feed(operation, 7, b"e two\n", last=True, incarnation=incarnation) == 13
        assert text(await running.result) == "ready\nzero one two\nend\n"
        assert await work.machine.feed(operation, 13, b"late", last=True, incarnation=incarnation) is None
        with pytest.raises(FileProblem):
            await work.machine.feed(work.operation("never"), 0, b"x", last=True, incarnation=incarnation)

    async def test_an_id_given_with_another_command_is_refused_where_that_matters(self, work: Work) -> None:
        first = Command(("/bin/echo", "one"), exact=True)
        assert text(await work.run(first, "same")) == "one\n"
        assert (await work.run(first, "same")).replayed
        with pytest.raises(FileProblem) as refused:
            await work.run(Command(("/bin/echo", "two"), exact=True), "same")
        assert refused.value.kind == "exists"
        assert text(await work.run(Command(("/bin/echo", "two")), "same")) == "one\n"
