"""How models are connected: pools, cancelling, proxies, certificates, closing."""

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from hostler.core.errors import FailedPrecondition, ModelUnavailable
from hostler.models.pools import CALLS_A_POOL
from hostler.models.registry import Registry
from hostler.models.remote import RemoteModel
from hostler.models.settings import Override
from hostler.testing.answers import Hold, Reply
from hostler.testing.endpoints import Endpoint
from hostler.testing.model_suite import ask, fails

REMOTE = ("anthropic:claude-sonnet-4-6", "openai-responses:gpt-5", "openai-chat:llama3")

pytestmark = pytest.mark.parametrize("name", REMOTE)


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)


async def test_the_provider_sees_a_cancelled_call_leave(name: str) -> None:
    hold = Hold(Reply("A text that never ends."), after=2)
    async with Endpoint([hold]) as endpoint:
        models = Registry(endpoint.environ())
        call = asyncio.ensure_future(ask(models.get(name)))
        await hold.reached.wait()
        assert endpoint.disconnects == 0
        call.cancel()
        await endpoint.until(lambda each: each.disconnects == 1 and each.in_flight == 0)
        await asyncio.gather(call, return_exceptions=True)
        assert call.cancelled()
        await models.close()


async def test_a_call_cancelled_before_the_first_byte_leaves_too(name: str) -> None:
    hold = Hold(Reply("A text that never begins."), after=0)
    async with Endpoint([hold]) as endpoint:
        models = Registry(endpoint.environ())
        call = asyncio.ensure_future(ask(models.get(name)))
        await hold.reached.wait()
        call.cancel()
        await endpoint.until(lambda each: each.disconnects == 1)
        await models.close()
        await asyncio.gather(call, return_exceptions=True)


async def test_calls_share_a_pool_up_to_its_size_and_open_the_next_one_then(name: str) -> None:
    hold = Hold(Reply("Together."), after=1)
    async with Endpoint([hold]) as endpoint:
        models = Registry(endpoint.environ())
        model = models.get(name)
        assert isinstance(model, RemoteModel)
        calls = [asyncio.ensure_future(ask(model)) for _ in range(2 * CALLS_A_POOL + 10)]
        await endpoint.until(lambda each: each.in_flight == len(calls))
        pools = 3 if name.startswith("openai-responses") else 1  # the others need the library for the first call only
        assert model.pools == pools
        hold.gate.set()
        await asyncio.gather(*calls)
        await asyncio.gather(*(ask(model) for _ in range(CALLS_A_POOL)))
        assert model.pools == pools
        await models.close()
        assert model.pools == 0


async def test_closing_ends_calls_that_run(name: str) -> None:
    hold = Hold(Reply("A text that never ends."), after=2)
    async with Endpoint([hold]) as endpoint:
        models = Registry(endpoint.environ())
        call = asyncio.ensure_future(fails(models.get(name)))
        await hold.reached.wait()
        await models.close()
        assert isinstance(await call, ModelUnavailable)
        await endpoint.until(lambda each: each.in_flight == 0)


async def test_the_key_goes_to_the_provider(name: str) -> None:
    async with Endpoint([Reply("Yes.")]) as endpoint:
        models = Registry(endpoint.environ(), overrides={name: Override(api_key="key-of-this-model")})
        await ask(models.get(name))
        await models.close()
    headers = endpoint.requests[0].headers
    assert "key-of-this-model" in (headers.get("x-api-key"), headers.get("authorization", "").removeprefix("Bearer "))


async def test_a_proxy_of_the_server_is_used_for_https(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Endpoint([Reply("Yes.")]) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        models = Registry({}, overrides={name: Override(base_url="https://models.invalid/v1", api_key="k")})
        assert isinstance(await fails(models.get(name)), ModelUnavailable)
        await models.close()
    assert [(request.method, request.path) for request in proxy.requests] == [("CONNECT", "models.invalid:443")]


async def test_hosts_without_proxy_are_reached_directly(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://nowhere.invalid:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with Endpoint([Reply("Yes.")]) as endpoint:
        models = Registry(endpoint.environ())
        reply, _ = await ask(models.get(name))
        await models.close()
    assert reply.parts


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to make a certificate")
async def test_certificates_of_the_server_are_trusted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-nodes"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *subject]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with Endpoint([Reply("Yes.")], tls=tls) as endpoint:
        untrusting = Registry(endpoint.environ())
        assert isinstance(await fails(untrusting.get(name)), ModelUnavailable)
        await untrusting.close()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        trusting = Registry(endpoint.environ())
        reply, _ = await ask(trusting.get(name))
        await trusting.close()
    assert reply.parts


async def test_closing_twice_is_fine_and_a_later_call_connects_anew(name: str) -> None:
    async with Endpoint([Reply("Yes.")]) as endpoint:
        models = Registry(endpoint.environ())
        await ask(models.get(name))
        await models.close()
        reply, _ = await ask(models.get(name))
        await models.close()
        await models.close()
    assert reply.parts


def test_a_missing_key_names_its_variable_and_a_way_on(name: str) -> None:
    with pytest.raises(FailedPrecondition, match=r"(ANTHROPIC|OPENAI)_API_KEY.*scripted:demo"):
        Registry({}).get(name)


def test_a_base_url_that_is_no_address_is_said_at_once(name: str) -> None:
    models = Registry({}, overrides={name: Override(base_url="localhost:11434", api_key="k")})
    with pytest.raises(FailedPrecondition, match=r"base URL.*http://"):
        models.get(name)
