"""init, allow, and which settings `serve` takes."""

import re
import tomllib
from pathlib import Path

import pytest

from hostler.cli.serving import settings_file
from hostler.cli.settings_file import MEANINGS
from hostler.config import REGISTRIES, Settings, load
from tests.cli.conftest import Cli

SETTING = re.compile(r"^#(?! )", re.MULTILINE)


def test_the_file_says_what_holds_anyway(cli: Cli, data_dir: Path) -> None:
    assert cli("init").code == 0
    file = data_dir / "hostler.toml"
    assert tomllib.loads(file.read_text()) == {}
    defaults = Settings()
    assert load(file) == defaults
    file.write_text(SETTING.sub("", file.read_text()))
    assert load(file) == defaults


def test_every_setting_is_in_the_file_with_its_default(cli: Cli, data_dir: Path) -> None:
    cli("init")
    given = tomllib.loads(SETTING.sub("", (data_dir / "hostler.toml").read_text()))
    assert set(given) | {"models", "mcp", "forges"} == set(Settings.model_fields)
    assert Settings(**given).model_dump() == Settings().model_dump()
    assert len(given["classes"]) == len(Settings().classes)


def test_every_meaning_is_of_a_setting_and_the_example_of_a_model_holds(cli: Cli, data_dir: Path) -> None:
    names: set[str] = set()
    for name, field in Settings.model_fields.items():
        names.add(name)
        default = field.get_default()
        for part in default if isinstance(default, tuple) else (default,):
            for key, value in getattr(part, "__dict__", {}).items() if hasattr(part, "model_fields_set") else ():
                names.add(f"{name}.{key}")
                if hasattr(value, "model_fields_set"):
                    names |= {f"{name}.{key}.{inner}" for inner in value.__dict__}
    assert set(MEANINGS) == names
    example = MEANINGS["models"].partition("\n")[2]
    (model,) = Settings(**tomllib.loads(example)).models.values()
    assert model.context_window == 32768


def test_init_overwrites_only_when_told(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "mine.toml"
    assert cli("init", str(file)).code == 0
    assert file.stat().st_mode & 0o777 == 0o600, "it may come to hold keys"
    file.write_text("slots = 3\n")
    refused = cli("init", str(file))
    assert refused.code == 1
    assert "--force" in refused.err
    assert file.read_text() == "slots = 3\n"
    assert cli("init", str(file), "--force").code == 0


def test_settings_come_from_the_option_the_variable_or_the_data_folder_and_never_from_here(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hostler.toml").write_text('sandbox = "none"\n')
    monkeypatch.chdir(tmp_path)
    assert settings_file(None, None) is None
    (data_dir / "hostler.toml").write_text("")
    assert settings_file(None, None) == data_dir / "hostler.toml"
    monkeypatch.setenv("HOSTLER_CONFIG", "/etc/hostler.toml")
    assert settings_file(None, None) == Path("/etc/hostler.toml")
    assert settings_file(Path("x.toml"), None) == Path("x.toml")


def test_serve_refuses_settings_that_cannot_be_used(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "hostler.toml"
    file.write_text("[server]\nprot = 1\n")
    ended = cli("serve", "--config", str(file))
    assert ended.code == 2
    assert "server.prot" in ended.err
    assert cli("serve", "--config", str(tmp_path / "absent.toml")).code == 2
    assert cli("serve", "--port", "70000").code == 2
    for url in ("hostler.example", "https://hostler.example/agents", "https://ann@hostler.example"):
        assert "and no path" in cli("serve", "--public-url", url).err


@pytest.mark.parametrize(
    "before",
    [
        None,
        "",
        "slots = 3\n\n[server]\nport = 9000\n",
        'allow = ["pypi.org"]  # mine\nslots = 3\n',
        'allow = [\n  "pypi.org", # one\n  "a]b.example.org",\n]\nslots = 3\n\n[server]\nport = 9000\n',
    ],
    ids=["no file", "an empty file", "no list", "a list in one line", "a list over lines"],
)
def test_allow_adds_hosts_and_leaves_the_rest(cli: Cli, data_dir: Path, before: str | None) -> None:
    file = data_dir / "hostler.toml"
    if before is not None:
        file.write_text(before)
    old = tomllib.loads(before or "")
    ended = cli("allow", "Example.org", "*.example.net:8443")
    assert ended.code == 0, ended.err
    new = tomllib.loads(file.read_text())
    known = old.pop("allow", list(REGISTRIES))
    assert new.pop("allow") == [*known, "example.org", "*.example.net:8443"]
    assert new == old
    load(file)


def test_allow_stays_right_when_tables_are_uncommented_later(cli: Cli, data_dir: Path) -> None:
    cli("init")
    cli("allow", "example.org")
    cli("allow", "example.net")
    file = data_dir / "hostler.toml"
    file.write_text(file.read_text().replace("#[server]", "[server]").replace("#port = 8080", "port = 9000"))
    settings = load(file)
    assert settings.allow == (*REGISTRIES, "example.org", "example.net")
    assert settings.server.port == 9000


def test_allow_refuses_what_is_no_host_and_files_it_does_not_understand(cli: Cli, data_dir: Path) -> None:
    file = data_dir / "hostler.toml"
    for wrong in ("https://example.org", "a b", "*", '"]'):
        assert cli("allow", wrong).code == 2
    assert not file.exists()
    for text in ("allow = [", "unknown = 1\n", '"allow" = ["pypi.org"]\n'):
        file.write_text(text)
        assert cli("allow", "example.org").code == 1
        assert file.read_text() == text


def test_allow_does_not_pretend_to_change_a_server_elsewhere(
    cli: Cli, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOSTLER_URL", "https://hostler.example")
    ended = cli("allow", "example.org")
    assert ended.code == 1
    assert "hostler.example" in ended.err
    assert not (data_dir / "hostler.toml").exists()
