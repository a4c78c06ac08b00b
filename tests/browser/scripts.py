"""What the scripted model says in the browser's runs; the text that a person sends chooses.

`@` is the folder of the world: a file there opens a gate of the model. Commands wait for a file of their workspace.
"""

import json
from dataclasses import asdict
from typing import Any

from hostler.models.demo import DEMO

TESTS = "python3 -m unittest -q"
BACKED = "The tests fail. Find the bug, mend it and run the tests."
UNCHECKED = "Add an option that prints the result as JSON."
FAILING = "Make words() drop numbers, with a case for it in the suite."
SLOW = "Run the slow integration suite and tell me what it says."
ASKING = "Make the output nicer to read."
LIMITED = "Tidy every module of the project."
REFUSED = "Look up the newest release of the stop word list and note it in the README."
EXPLAIN = "Explain how the ranking works, with an example."
STREAMED = "Write a short guide for newcomers."
TYPES = ("Also add type hints to the command line.", "Then update the README.", "Last, list what is still open.")


def _bash(command: str, **more: Any) -> dict[str, Any]:
    return {"name": "bash", "arguments": {"command": command, **more}}


def _call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def _rule(text: str, *steps: dict[str, Any]) -> dict[str, Any]:
    words = "".join(character if character.isalnum() or character == " " else "." for character in text[:40])
    return {"match": f"^{words}", "steps": list(steps)}


_EXPLANATION = """The ranking has three steps.

1. `words()` splits the text and folds case, so *Tea* and *tea* are one word.
2. `Counter` counts them.
3. `most_frequent()` sorts by count, and by alphabet where counts are equal.

| word  | count | rank |
|-------|------:|-----:|
| tea   |     3 |    1 |
| milk  |     2 |    2 |
| sugar |     1 |    3 |

The order comes from one line:

```python
ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
```

> Equal counts keep a stable, predictable order, which is what the tests rely on.

See `wordcount/ranking.py` for the whole function, and the
[documentation of Counter](https://docs.python.org/3/library/collections.html#collections.Counter)."""

_GUIDE = """## A guide for newcomers

**wordcount** counts the words of a text. Begin with `README.md`, then read `words.py` and `ranking.py`, in this order:
the first splits, the second ranks. Run the tests before and after each change; they take less than a second.

When something is unclear, ask. Small changes with a test are welcome at any time."""

_PRINTED = """    arguments = parser.parse_args()
    for word, count in most_frequent(words(arguments.file.read_text(encoding="utf-8")), arguments.top):
        print(f"{count:6} {word}")"""

_PRINTED_AS_JSON = """    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    ranked = most_frequent(words(arguments.file.read_text(encoding="utf-8")), arguments.top)
    if arguments.json:
        print(json.dumps(dict(ranked)))
        return
    for word, count in ranked:
        print(f"{count:6} {word}")"""

_LAST_CASE = "    def test_an_empty_text_has_no_words"

_NEW_CASE = """    def test_numbers_are_no_words(self) -> None:
        self.assertEqual(list(words("tea 42 milk")), ["tea", "milk"])

"""

_UNCHECKED = (
    {
        "thinking": "The command line prints one word a line. A flag beside --top is the smallest change.",
        "text": "I look at the command line first.",
        "calls": [_call("read", path="wordcount/__main__.py")],
    },
    {
        "text": "A flag `--json` fits beside `--top`.",
        "calls": [
            _call(
                "edit",
                path="wordcount/__main__.py",
                old=_PRINTED,
                new=_PRINTED_AS_JSON,
            ),
            _call("edit", path="wordcount/__main__.py", old="import argparse\n", new="import argparse\nimport json\n"),
        ],
    },
    {"text": "Done: `--json` prints one JSON object with the words and their counts."},
)

_FAILING = (
    {
        "text": "I change the pattern and add a case.",
        "calls": [
            _call(
                "edit",
                path="tests/test_words.py",
                old=_LAST_CASE,
                new=_NEW_CASE + _LAST_CASE,
            ),
        ],
    },
    {"text": "Now the tests.", "calls": [_bash(TESTS, timeout=60)]},
    {"text": "Everything is in place: numbers are dropped and the suite covers it."},
)

_SLOW = (
    {
        "thinking": "There is no fast way to do this; the suite takes as long as it takes.",
        "text": "I start the suite. It takes a while, so I watch its output.",
        "calls": [
            _call(
                "todo",
                todos=[
                    {"title": "Run the integration suite", "state": "in_progress"},
                    {"title": "Read its report", "state": "pending"},
                    {"title": "Summarize what failed", "state": "pending"},
                ],
            ),
            _bash(
                'for n in 1 2 3 4 5 6 7 8; do echo "case $n of 40: ok"; done; '
                "until [ -e .git/go ]; do sleep 0.05; done; echo '40 cases, all ok'",
                timeout=900,
            ),
        ],
    },
    {"text": "The suite ran 40 cases, all of them ok."},
)

_ASKING = (
    {
        "thinking": "Nicer can mean aligned columns, colours or a chart. It is the person's taste.",
        "text": "There are several ways to do that, so I ask before I change anything.",
        "calls": [
            _call(
                "ask",
                questions=[
                    {
                        "question": "How should the words be shown?",
                        "choices": [
                            {"label": "Aligned columns", "description": "Numbers right, words left; fits a pipe"},
                            {"label": "A bar chart", "description": "One bar a word, as wide as the terminal"},
                            {"label": "Colours", "description": "The most frequent words stand out"},
                        ],
                    }
                ],
            )
        ],
    },
    {"text": "Thank you. I take that way."},
)

_EXPLAIN = (
    {
        "thinking": "They want the idea first, then the line of code.",
        "calls": [
            _call(
                "next_steps",
                actions=[
                    {"title": "Put this into the README", "prompt": "Put this explanation into the README."},
                    {"title": "Show the ten most frequent words", "prompt": "run the command echo ten words"},
                ],
            )
        ],
    },
    {"text": _EXPLANATION},
)

_LIMITED = (
    *(
        {"text": f"Next is `{module}`.", "calls": [_bash(f"python3 -m py_compile wordcount/{module} && echo compiled")]}
        for module in ("words.py", "ranking.py", "__main__.py", "__init__.py", "words.py")
    ),
    {"text": "All modules are tidy."},
)

_REFUSED = (
    {
        "text": "I ask the project's site for its newest release.",
        "calls": [
            _bash(
                "python3 - <<'END'\nimport urllib.request\n"
                "print(urllib.request.urlopen('https://stopwords.example.net/latest.json', timeout=5).read())\nEND",
                timeout=30,
            )
        ],
    },
    {
        "text": (
            "This environment may not reach `stopwords.example.net`, so I could not look it up. "
            "Allow the host and send me on, or tell me the version."
        )
    },
)

_STREAMED = (
    {
        "text": _GUIDE,
        "faults": [{"kind": "hold", "after": 6, "reached": "@/streaming", "until": "@/stream"}],
    },
)


def script() -> dict[str, Any]:
    """Return the script, as `scripted:PATH` reads it."""
    rules = [
        _rule(UNCHECKED, *_UNCHECKED),
        _rule(FAILING, *_FAILING),
        _rule(SLOW, *_SLOW),
        _rule(ASKING, *_ASKING),
        _rule(LIMITED, *_LIMITED),
        _rule(REFUSED, *_REFUSED),
        _rule(EXPLAIN, *_EXPLAIN),
        _rule(STREAMED, *_STREAMED),
        _rule("Also add", {"text": "The hints are there."}),
        _rule("Then update", {"text": "The README says so now."}),
        _rule("Last, list", {"text": "Nothing is open."}),
        _rule("run the command ", {"calls": [_bash("${command}")]}, {"text": "That is done."})
        | {"match": "^run the command (?P<command>.+)$"},
    ]
    return {"rules": [*rules, *json.loads(json.dumps([asdict(rule) for rule in DEMO.rules]))]}
