"""Which commands count as checks, and whose exit code is believed."""

import pytest

from hostler.projections.checks import CHECKS, check_of, effect_of, inner


def checks(text: str) -> list[tuple[str, bool]]:
    """Return the checks in a text, and whether the exit code of the whole is theirs."""
    return [(name, simple.tells) for simple in inner(text) if (name := check_of(simple))]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("pytest -q", "pytest"),
        ("cd app && pytest -q tests/test_a.py", "pytest"),
        ("CI=1 uv run --with coverage pytest", "pytest"),
        ("python -m pytest -x", "pytest"),
        ("python3 -m unittest -q", "unittest"),
        (".venv/bin/pytest", "pytest"),
        ("/usr/bin/env python3.12 -m mypy src", "mypy"),
        ("coverage run -m pytest", "pytest"),
        ("timeout 60 npm test", "npm test"),
        ("npm run test:unit -- --watch=false", "npm run test:unit"),
        ("pnpm lint", "pnpm lint"),
        ("yarn run build", "yarn run build"),
        ("npx tsc --noEmit", "tsc"),
        ("./node_modules/.bin/eslint src", "eslint"),
        ("cargo +nightly clippy -- -D warnings", "cargo clippy"),
        ("go vet ./...", "go vet"),
        ("./gradlew check", "gradlew check"),
        ("mvn -q -B verify", "mvn verify"),
        ("make -j4 check", "make check"),
        ("ruff format --check .", "ruff format --check"),
        ("bundle exec rspec", "rspec"),
        ("ctest --output-on-failure", "ctest"),
        ("vendor/bin/phpunit", "phpunit"),
        ("bash -c 'cd x; pytest'", "pytest"),
        ("bash scripts/run_tests.sh", "run_tests.sh"),
        ("python tests/test_all.py", "test_all.py"),
        ("set -euo pipefail\npytest | tee /tmp/out\necho fine", "pytest"),
        ("(cd web && npm test)", "npm test"),
        ("pytest -q 2>&1 && echo done", "pytest"),
        ("cat > a.py <<'EOF'\nnpm test || true\nEOF\npytest -q", "pytest"),
    ],
)
def test_a_check_is_known_behind_whatever_runs_it(text: str, name: str) -> None:
    assert checks(text) == [(name, True)]


@pytest.mark.parametrize(
    "text",
    [
        "pytest || true",
        "pytest | tail -5",
        "pytest; echo $?",
        "pytest > /tmp/out; cat /tmp/out",
        "pytest &",
        "! pytest",
        "true || pytest",
        "(pytest || true) && echo fine",
        "(pytest && true) | tail",
        "x || (a; pytest)",
        "{ pytest; } || true",
        "bash -c 'pytest || true'",
        "bash -c pytest | cat",
        "pytest\ntrue",
        "set -e; pytest | tail",
        "pytest $(",
    ],
)
def test_an_exit_code_that_is_hidden_is_not_believed(text: str) -> None:
    assert checks(text) == [("pytest", False)]


@pytest.mark.parametrize(
    "text",
    [
        "echo 'pytest; pytest'",
        "grep -rn pytest .",
        "pip install pytest",
        "pytest --version",
        "pytest --collect-only -q",
        "ruff check --exit-zero",
        "ruff format .",
        "make clean",
        "npm install",
        "npm run start",
        "cargo run",
        "cat tests/test_a.py",
        "git commit -m 'make test'",
        "ls # && pytest",
        "docker build .",
        "test -f pytest",
    ],
)
def test_what_only_looks_like_a_check_is_none(text: str) -> None:
    assert checks(text) == []


@pytest.mark.parametrize("text", ["for i in 1 2; do pytest; done", "if pytest; then echo; fi", "f() { pytest; }; f"])
def test_a_check_in_a_loop_or_a_function_is_never_believed(text: str) -> None:
    assert not any(told for _, told in checks(text))


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("ls -la", "looks"),
        ("git add -A && git commit -m done", "looks"),
        ("echo x > /dev/null", "looks"),
        ("rm -rf /tmp/x", "looks"),
        ("sed -n 1,5p a.py", "looks"),
        ("sed -i.bak s/a/b/ a.py", "changes"),
        ("echo x >> a.py", "changes"),
        ("git checkout -- a.py", "changes"),
        ("ruff check --fix", "changes"),
        ("mv a b", "changes"),
        ("python generate.py", "opaque"),
        ("npm install", "opaque"),
    ],
)
def test_what_a_command_does_to_files_is_told_by_its_words(text: str, effect: str) -> None:
    order = ("looks", "opaque", "changes")
    assert max((effect_of(simple) for simple in inner(text)), key=order.index) == effect


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_every_row_of_the_table_makes_a_check(name: str) -> None:
    for words in CHECKS[name] or ("",):
        assert checks(f"cd a && A=1 {name} {words}".strip()) == [(f"{name} {words}".strip(), True)]
