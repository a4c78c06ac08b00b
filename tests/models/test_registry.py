"""Which model a name leads to, and what must be there for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from hostler.contract.gitpod.v1.agent_settings_pb import SupportedModel
from hostler.core.errors import FailedPrecondition
from hostler.models.registry import FAMILIES, Registry
from hostler.models.remote import RemoteModel
from hostler.models.script import Rule, Script, Step
from hostler.models.settings import Override
from hostler.models.supported import SUPPORTED, UNSPECIFIED, supported_model


@pytest.mark.parametrize("name", ["", "claude", "anthropic", "anthropic:", ":x", "acme:model", "ANTHROPIC:claude"])
def test_a_name_that_leads_nowhere_lists_the_providers(name: str) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        Registry({}).get(name)
    assert all(provider in caught.value.message for provider in (*FAMILIES, "scripted"))


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("anthropic:claude-opus-4-6", "ANTHROPIC_API_KEY"),
        ("openai-responses:gpt-5", "OPENAI_API_KEY"),
        ("openai-chat:gpt-4o", "OPENAI_API_KEY"),
    ],
)
def test_a_missing_key_names_its_variable(name: str, variable: str) -> None:
    with pytest.raises(FailedPrecondition, match=variable):
        Registry({}).get(name)


def test_a_chat_server_of_ones_own_needs_no_key() -> None:
    assert (
        Registry({"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}).get("openai-chat:llama3").info.name
        == "openai-chat:llama3"
    )


def test_a_model_name_may_hold_colons_and_slashes() -> None:
    models = Registry({"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"})
    assert models.get("openai-chat:library/qwen3:8b").info.name == "openai-chat:library/qwen3:8b"


def test_the_same_name_is_the_same_model() -> None:
    models = Registry({"ANTHROPIC_API_KEY": "k"})
    assert models.get("anthropic:claude-opus-4-6") is models.get("anthropic:claude-opus-4-6")


async def test_a_model_prepared_in_the_background_is_the_one_that_is_used() -> None:
    models = Registry({"ANTHROPIC_API_KEY": "k"})
    assert await models.prepare("anthropic:claude-opus-4-6") is models.get("anthropic:claude-opus-4-6")
    with pytest.raises(FailedPrecondition):
        await models.prepare("openai-responses:gpt-5")


def test_the_context_window_comes_from_the_provider_or_the_configuration() -> None:
    overrides = {"openai-chat:llama3": Override(context_window=32_768, vision=False)}
    models = Registry({"ANTHROPIC_API_KEY": "k", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, overrides=overrides)
    assert models.get("anthropic:claude-haiku-4-5").info.context_window == 200_000
    assert models.get("openai-chat:phi").info.context_window == 0
    assert models.get("openai-chat:llama3").info.context_window == 32_768
    assert models.get("openai-chat:phi").info.vision
    assert not models.get("openai-chat:llama3").info.vision


def test_every_key_and_password_is_known_as_a_secret() -> None:
    environ = {
        "ANTHROPIC_API_KEY": "key-a",
        "OPENAI_API_KEY": "key-b",
        "OPENAI_BASE_URL": "https://me:password-c@models.example/v1",
        "HTTPS_PROXY": "http://proxy:password-d@proxy.example:3128",
        "PATH": "/usr/bin",
    }
    models = Registry(environ, overrides={"openai-chat:x": Override(api_key="key-e"), "openai-chat:y": Override()})
    assert models.secrets() == {"key-a", "key-b", "password-c", "password-d", "key-e"}


def test_no_keys_are_no_secrets() -> None:
    assert Registry({"ANTHROPIC_API_KEY": ""}).secrets() == frozenset()


def test_a_script_is_registered_and_replaced_by_name() -> None:
    models = Registry({}, plans={"one": Script((Rule((Step("first"),)),), context_window=5)})
    assert models.get("scripted:one").info.context_window == 5
    models.register("one", Script((), context_window=6))
    assert models.get("scripted:one").info.context_window == 6
    assert models.get("scripted:one").info.scripted


def test_an_unknown_script_says_which_are_known() -> None:
    with pytest.raises(FailedPrecondition, match="scripted:demo"):
        Registry({}).get("scripted:nothing")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no json", "JSON"),
        ("{}", "rules"),
        ('{"rules": [{"stepz": []}]}', "stepz"),
        ('{"rules": [{"steps": [{"text": 3}]}]}', r"rules\.0\.steps\.0\.text"),
        ('{"rules": [{"match": "(", "steps": []}]}', "regular expression"),
        ('{"rules": [{"steps": [{"faults": [{"kind": "explode"}]}]}]}', "kind"),
    ],
)
def test_a_script_file_that_is_wrong_says_where(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "script.json"
    file.write_text(text)
    with pytest.raises(FailedPrecondition, match=why):
        Registry({}).get(f"scripted:{file}")


def test_a_script_file_that_is_not_there_says_so() -> None:
    with pytest.raises(FailedPrecondition, match=r"/no/such/script\.json"):
        Registry({}).get("scripted:/no/such/script.json")


def test_a_scripted_model_loads_no_library_of_a_provider() -> None:
    code = (
        "import sys\n"
        "from hostler.models.registry import Registry\n"
        "Registry({}).get('scripted:demo')\n"
        "print([name for name in ('pydantic_ai', 'openai', 'anthropic', 'httpx2') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_model_that_nobody_calls_loads_no_library() -> None:
    code = (
        "import sys\n"
        "from hostler.models.registry import Registry\n"
        "models = Registry({'ANTHROPIC_API_KEY': 'k', 'OPENAI_API_KEY': 'k'})\n"
        "names = ('anthropic:claude-opus-4-6', 'openai-chat:gpt-5', 'openai-responses:gpt-5')\n"
        "print([models.get(name).info.context_window > 0 for name in names])\n"
        "print([name for name in ('pydantic_ai', 'openai', 'anthropic') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["[True, True, True]", "[]"]


def test_one_provider_does_not_load_the_other() -> None:
    code = (
        "import asyncio, sys\n"
        "from hostler.core.conversation import ModelRequest, Text, UserMessage\n"
        "from hostler.core.errors import ModelUnavailable\n"
        "from hostler.models.registry import Registry\n"
        "from hostler.models.settings import Override\n"
        "name = 'anthropic:claude-opus-4-6'\n"
        "models = Registry({}, overrides={name: Override(base_url='http://127.0.0.1:9', api_key='k')})\n"
        "asked = ModelRequest('', (UserMessage(parts=(Text('x'),)),))\n"
        "try: asyncio.run(models.get(name).call(asked, print))\n"
        "except ModelUnavailable: print('openai' in sys.modules, 'anthropic' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False True"


@pytest.mark.parametrize(
    "name", ["claude-sonnet-4-5-20250929", "gpt-4o", "gpt-5", "llama3", "anthropic/claude-sonnet-4"]
)
@pytest.mark.parametrize(
    "url", ["", "http://127.0.0.1:9/v1", "https://openrouter.ai/api/v1", "https://api.openai.com/v1"]
)
@pytest.mark.parametrize("provider", FAMILIES)
async def test_a_context_window_is_what_the_library_says(provider: str, url: str, name: str) -> None:
    full = f"{provider}:{name}"
    models = Registry({}, overrides={full: Override(base_url=url, api_key="k")})
    model = models.get(full)
    assert isinstance(model, RemoteModel)
    await model._load()
    assert model.info.context_window == (model._pools.first().caller.context_window or 0)
    await models.close()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("anthropic:claude-opus-4-6", "SUPPORTED_MODEL_OPUS_4_6"),
        ("anthropic:claude-sonnet-4-5-20250929", "SUPPORTED_MODEL_SONNET_4_5"),
        ("anthropic:claude-sonnet-4-0", "SUPPORTED_MODEL_SONNET_4"),
        ("anthropic:claude-sonnet-4-20250514", "SUPPORTED_MODEL_SONNET_4"),
        ("anthropic:claude-3-7-sonnet-latest", "SUPPORTED_MODEL_SONNET_3_7"),
        ("openai-responses:gpt-4o-2024-08-06", "SUPPORTED_MODEL_OPENAI_4O"),
        ("openai-chat:gpt-4o-mini", "SUPPORTED_MODEL_OPENAI_4O_MINI"),
        ("openai-chat:claude-opus-4-6", UNSPECIFIED),
        ("openai-chat:llama3", UNSPECIFIED),
        ("anthropic:claude-opus-9", UNSPECIFIED),
        ("scripted:demo", UNSPECIFIED),
        ("", UNSPECIFIED),
    ],
)
def test_a_models_name_in_the_contract(name: str, expected: str) -> None:
    assert supported_model(name) == expected


def test_every_name_in_the_table_is_one_of_the_contracts() -> None:
    known = {f"SUPPORTED_MODEL_{member.name}" for member in SupportedModel}
    assert {name for _, name in SUPPORTED} | {UNSPECIFIED} <= known
