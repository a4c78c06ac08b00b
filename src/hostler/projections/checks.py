"""Which commands are checks (tests, linters, type checkers, builds), which only look, and which change files.

`CHECKS` is the table; a program that is not in it, or not with these words after it, is no check. A new one is a line.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal

from hostler.projections.shell import Simple, commands

_TARGETS = ("test", "tests", "check", "checks", "ci", "lint", "build", "verify", "typecheck", "all")
_SCRIPTS = ("test", "tests", "check", "checks", "ci", "lint", "build", "verify", "typecheck", "type-check", "types")
_PHASES = ("test", "check", "verify", "build", "package", "compile", "install", "integrationTest", "testClasses")

CHECKS: Mapping[str, Sequence[str]] = {
    # Python
    "pytest": (),
    "py.test": (),
    "unittest": (),
    "doctest": (),
    "tox": (),
    "nox": (),
    "mypy": (),
    "dmypy": ("run", "check"),
    "pyright": (),
    "basedpyright": (),
    "ty": ("check",),
    "pyflakes": (),
    "flake8": (),
    "pylint": (),
    "pycodestyle": (),
    "py_compile": (),
    "compileall": (),
    "bandit": (),
    "ruff": ("check", "format --check", "format --diff"),
    "black": ("--check",),
    "isort": ("--check", "--check-only"),
    "lint-imports": (),
    "pre-commit": ("run",),
    "behave": (),
    # JavaScript and TypeScript
    "npm": ("test", "t", "tst"),
    "pnpm": ("test", "t", *_SCRIPTS),
    "yarn": ("test", *_SCRIPTS),
    "bun": ("test", "build"),
    "deno": ("test", "check", "lint", "fmt --check"),
    "eslint": (),
    "tsc": (),
    "vue-tsc": (),
    "jest": (),
    "vitest": (),
    "mocha": (),
    "ava": (),
    "tap": (),
    "playwright": ("test",),
    "cypress": ("run",),
    "prettier": ("--check", "-c"),
    "biome": ("check", "ci", "lint"),
    "stylelint": (),
    # Compiled languages
    "cargo": ("test", "check", "clippy", "build", "nextest", "bench", "fmt --check"),
    "go": ("test", "vet", "build"),
    "golangci-lint": ("run",),
    "staticcheck": (),
    "mvn": _PHASES,
    "mvnw": _PHASES,
    "gradle": _PHASES,
    "gradlew": _PHASES,
    "sbt": ("test", "compile"),
    "dotnet": ("test", "build"),
    "swift": ("test", "build"),
    "zig": ("test", "build"),
    "ctest": (),
    "cmake": ("--build",),
    "meson": ("test", "compile"),
    "bazel": ("test", "build"),
    "cabal": ("test", "build", "check"),
    "stack": ("test", "build"),
    "dune": ("test", "build", "runtest"),
    "mix": ("test", "compile", "credo", "dialyzer"),
    "rebar3": ("ct", "eunit"),
    "flutter": ("test", "analyze"),
    "dart": ("test", "analyze"),
    # PHP and Ruby
    "phpunit": (),
    "pest": (),
    "phpstan": (),
    "psalm": (),
    "composer": ("test", "validate"),
    "rspec": (),
    "rubocop": (),
    "rake": ("test", "spec"),
    "rails": ("test",),
    # Whatever the language
    "make": _TARGETS,
    "gmake": _TARGETS,
    "ninja": _TARGETS,
    "just": _TARGETS,
    "task": _TARGETS,
    "bats": (),
    "shellcheck": (),
    "hadolint": (),
    "yamllint": (),
    "buf": ("lint", "build", "breaking"),
    "terraform": ("validate", "fmt -check"),
    "helm": ("lint",),
}
"""Program -> words of which one must stand after it (all of it, where there are two); none: however it is called."""

NO_CHECK = frozenset(
    {"--version", "-V", "--help", "-h", "--collect-only", "--co", "--exit-zero", "--dry-run", "--fixtures"}
)
"""Words that make a program of the table run no check, or hide what it found."""
NOT_RUN: Mapping[str, frozenset[int]] = {"": frozenset({126, 127}), "pytest": frozenset({4, 5})}
"""Exit codes that say that nothing was checked: of every program, and of one."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_RUNNERS: Mapping[str, Sequence[str]] = {
    "uv": ("run",),
    "uvx": (),
    "poetry": ("run",),
    "pipenv": ("run",),
    "pdm": ("run",),
    "hatch": ("run",),
    "rye": ("run",),
    "coverage": ("run",),
    "npx": (),
    "bunx": (),
    "pnpx": (),
    "bundle": ("exec",),
    "env": (),
    "time": (),
    "nice": (),
    "nohup": (),
    "sudo": (),
    "command": (),
    "exec": (),
    "stdbuf": (),
    "xvfb-run": (),
    "timeout": (),
    "ionice": (),
}
"""Programs that run another one, with the word that must follow them if any."""
_WITH_VALUE = frozenset(
    {"-n", "-s", "-k", "-p", "--with", "--python", "--group", "--extra", "--package", "--project", "-u"}
)
_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=.*", re.DOTALL)
_SCRIPT = re.compile(r"(?:run[-_]?)?(?:all[-_]?)?(?:tests?|checks?|ci|lint)(?:[-_].*)?|.*[-_]tests?", re.IGNORECASE)
_DURATION = re.compile(r"[0-9.]+[smhd]?")

_LOOKING = _words(
    "[ awk basename cat cd cmp column cut date df diff dirname du echo egrep env export expr false fd fgrep file find "
    "free getent grep head hexdump hostname id jq less ls lsof md5sum nl nproc od popd printenv printf ps pushd pwd "
    "readlink realpath rg sed set sha1sum sha256sum sleep sort source stat strings tail test tree true type ulimit "
    "uname uniq unset wait wc whereis which whoami xxd yes yq : ."
)
_GIT_CHANGES = _words(
    "am apply checkout cherry-pick clean merge mv pull rebase reset restore revert rm stash submodule switch"
)
_CHANGING = _words("chmod cp dd install ln mkdir mv patch rm rmdir rsync tee touch truncate unzip")
_FORMATTING: Mapping[str, frozenset[str]] = {
    "ruff": frozenset({"format", "--fix"}),
    "black": frozenset(),
    "isort": frozenset(),
    "autopep8": frozenset({"-i", "--in-place"}),
    "prettier": frozenset({"--write", "-w"}),
    "eslint": frozenset({"--fix"}),
    "biome": frozenset({"--write", "--apply", "format"}),
    "gofmt": frozenset({"-w"}),
    "cargo": frozenset({"fmt", "fix", "add", "remove"}),
    "go": frozenset({"fmt", "mod", "get"}),
    "sed": frozenset({"-i", "--in-place"}),
    "perl": frozenset({"-i", "-pi"}),
    "find": frozenset({"-delete", "-exec", "-execdir"}),
}
"""Programs that change files when one of these words stands after them (none: always)."""
_NOT_KEPT = ("/dev/", "/tmp/", "/var/tmp/")


def check_of(simple: Simple) -> str:
    """Return the name of the check that a command is, such as `pytest` or `npm test`; empty when it is none."""
    words = _bare(simple.words)
    if not words or NO_CHECK & set(words[1:]):
        return ""
    name, rest = words[0].rpartition("/")[2], words[1:]
    if name in ("npm", "pnpm", "yarn", "bun") and rest[:1] in (["run"], ["run-script"]):
        script = next((word for word in rest[1:] if not word.startswith("-")), "")
        return f"{name} run {script}" if re.split(r"[:.]", script)[0] in _SCRIPTS else ""
    if name in CHECKS:
        return _known(name, rest)
    stem = re.sub(r"\.(?:sh|bash|py|js|mjs|ts|rb|php|pl)$", "", name)
    return name if _SCRIPT.fullmatch(stem) and ("/" in words[0] or stem != name) else ""


def _known(name: str, rest: Sequence[str]) -> str:
    if name == "make" and "-n" in rest:
        return ""
    wanted = CHECKS[name]
    if not wanted:
        return name
    for words in wanted:
        if all(word in rest for word in words.split()):
            return f"{name} {words}"
    return ""


def _bare(words: Sequence[str]) -> list[str]:
    """Return the words of what is run in the end: without variables, runners, interpreters and a shell around it."""
    left = list(words)
    while left:
        name = left[0].rpartition("/")[2]
        rest = left[1:]
        if _ASSIGNMENT.fullmatch(left[0]):
            left = rest
        elif name in _RUNNERS and (not _RUNNERS[name] or rest[:1] == list(_RUNNERS[name])):
            left = _after_options(rest[len(_RUNNERS[name]) :], duration=name == "timeout")
        elif name in ("pnpm", "yarn", "npm") and rest[:1] in (["exec"], ["dlx"]):
            left = _after_options(rest[1:])
        elif _PYTHON.fullmatch(name):
            options = _after_options(rest, keep=("-m", "-c"))
            if options[:1] == ["-c"] or not options:
                return left
            left = options[1:] if options[0] == "-m" else [f"./{options[0]}", *options[1:]]
        elif name in ("node", "bash", "sh", "zsh", "ruby", "php", "perl") and rest and not rest[0].startswith("-"):
            left = [f"./{rest[0]}", *rest[1:]]
        else:
            return left
    return []


def _after_options(words: Sequence[str], keep: Sequence[str] = (), *, duration: bool = False) -> list[str]:
    left = list(words)
    while left and left[0].startswith("-") and left[0] not in keep:
        left = left[2:] if left[0] in _WITH_VALUE else left[1:]
    return left[1:] if duration and left and _DURATION.fullmatch(left[0]) else left


def subject(simple: Simple) -> tuple[str, ...]:
    """Return what a check is about: the words after the program that are no options."""
    return tuple(word for word in _bare(simple.words)[1:] if not word.startswith("-"))


Effect = Literal["looks", "changes", "opaque"]


def effect_of(simple: Simple) -> Effect:
    """Return whether a command leaves files alone, changes them, or might: only what was kept shows that."""
    if any(not target.startswith(_NOT_KEPT) for target in simple.writes):
        return "changes"
    words = _bare(simple.words)
    if not words:
        return "looks"
    name, rest = words[0].rpartition("/")[2], words[1:]
    if name in _FORMATTING and not {"--check", "--diff", "--check-only"} & set(rest):
        marks = _FORMATTING[name]
        if not marks or any(word in marks or (name == "sed" and word.startswith("-i")) for word in rest):
            return "changes"
    if name == "git":
        return "changes" if next((w for w in rest if not w.startswith("-")), "") in _GIT_CHANGES else "looks"
    if name in _CHANGING:
        named = [word for word in rest if not word.startswith("-")]
        return "looks" if named and all(word.startswith(_NOT_KEPT) for word in named) else "changes"
    return "looks" if name in _LOOKING or check_of(simple) else "opaque"


@lru_cache(maxsize=256)
def inner(text: str) -> tuple[Simple, ...]:
    """Return the simple commands of a text, also those that it gives to another shell in one word (`bash -c '…'`)."""
    found: list[Simple] = []
    for simple in commands(text):
        words = _bare(simple.words)
        shell = words[0].rpartition("/")[2] if words else ""
        option = next((n for n, w in enumerate(words[:-1]) if re.fullmatch(r"-\w*c", w)), None)
        if shell in ("bash", "sh", "zsh") and option is not None:
            told = commands(words[option + 1])
            found += (Simple(one.words, one.writes, simple.tells and one.tells) for one in told)
        else:
            found.append(simple)
    return tuple(found)
