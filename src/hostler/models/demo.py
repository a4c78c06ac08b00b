"""The script behind `scripted:demo`: it looks for the failing test, mends what it finds, and says what it did.

It knows one kind of mistake, a slice that ends one too early, and finds out everything else by itself: which test
fails, which function that test calls, where the function is and how the line reads.
"""

from hostler.models.script import Call, Rule, Script, Step

_TESTS = "python3 -m unittest -q"

_INTRODUCTION = (
    "I am a scripted model: I follow a fixed script and understand nothing. "
    "Ask me to mend the failing test of a small Python project, or send `run: COMMAND` to have a command run. "
    "For real work, set HOSTLER_MODEL to PROVIDER:NAME together with that provider's key."
)

_MEND = (
    Step(
        text="I begin with the tests, to see what fails.",
        calls=(
            Call(
                "todo",
                {
                    "todos": [
                        {"title": "Run the tests", "state": "in_progress"},
                        {"title": "Find the mistake", "state": "pending"},
                        {"title": "Mend it and run the tests again", "state": "pending"},
                    ]
                },
            ),
            Call("bash", {"command": _TESTS, "timeout": 60}),
        ),
    ),
    Step(
        expect=r"FAIL(ED|:)",
        otherwise="The tests pass already, so there is nothing to mend.",
        captures=(
            r"FAIL: (?P<test>\w+)",
            r"assert\w+\(\s*(?:list\()?(?P<function>\w+)\(",
            r'File "(?:[^"\n]*/)?(?P<test_file>test\w*\.py)", line',
            r'File "(?:[^"\n]*/)?(?P<test_file>tests/[^"\n]+)", line',
        ),
        thinking="${test} fails. Its assertion calls ${function}; I need both the test and the definition.",
        text="`${test}` fails. I read it and look for the function it calls, `${function}`.",
        calls=(
            Call("read", {"path": "${test_file}"}),
            Call("search", {"pattern": r"def ${function}\b", "path": "."}),
        ),
    ),
    Step(
        expect=r"[\w/.-]+\.py",
        otherwise="I cannot find where `${function}` is defined, so I stop here.",
        captures=(r"(?m)^(?:\./)?(?P<module>[\w/.-]+\.py)\b[^\n]*def ",),
        text="It is in `${module}`.",
        calls=(Call("read", {"path": "${module}"}),),
    ),
    Step(
        expect=r"\w+\[: ?\w+ - 1\]",
        otherwise="I read `${module}`, but the mistake in it is not one that my script knows.",
        captures=(r"(?P<mistake>(?P<list>\w+)\[: ?(?P<limit>\w+) - 1\])",),
        thinking="A slice leaves its end out already, so `- 1` drops the last entry that was asked for.",
        text="`${mistake}` ends one too early: a slice leaves its end out already.",
        calls=(Call("edit", {"path": "${module}", "old": "${mistake}", "new": "${list}[:${limit}]"}),),
    ),
    Step(
        text="Now the tests again.",
        calls=(
            Call("bash", {"command": _TESTS, "timeout": 60}),
            Call(
                "todo",
                {
                    "todos": [
                        {"title": "Run the tests", "state": "done"},
                        {"title": "Find the mistake", "state": "done"},
                        {"title": "Mend it and run the tests again", "state": "in_progress"},
                    ]
                },
            ),
        ),
    ),
    Step(
        expect=r"(?m)^OK\b",
        otherwise="I changed `${module}`, but the tests still fail.",
        captures=(r"Ran (?P<ran>\d+) tests?",),
        text="All ${ran} tests pass.",
        calls=(
            Call("add_agent_execution_result", {"key": "tests", "value": "${ran} passed"}),
            Call("add_agent_execution_result", {"key": "mended", "value": "${module}"}),
            Call(
                "todo",
                {
                    "todos": [
                        {"title": "Run the tests", "state": "done"},
                        {"title": "Find the mistake", "state": "done"},
                        {"title": "Mend it and run the tests again", "state": "done"},
                    ]
                },
            ),
        ),
    ),
    Step(
        text=(
            "`${test}` failed because `${function}` in `${module}` returned one entry too few: "
            "`${mistake}` ended one too early. I changed it to `${list}[:${limit}]`, and all ${ran} tests pass now."
        ),
    ),
)

_RUN = (
    Step(text="I run it.", calls=(Call("bash", {"command": "${command}"}),)),
    Step(text="That is done."),
)

DEMO = Script(
    rules=(
        Rule((Step(text="I am a scripted model and sum nothing up."),), match=r"\ASummarize this conversation\."),
        Rule((Step(text="${said}"),), match=r"(?s)\A<prompt>\n(?P<said>.*)\n</prompt>"),
        Rule(_RUN, match=r"(?s)^\s*run:\s*(?P<command>.+?)\s*$"),
        Rule(_MEND, match=r"(?i)\b(tests?|fail\w*|fix|mend|bug|repair)\b"),
        Rule((Step(text=_INTRODUCTION),)),
    )
)
