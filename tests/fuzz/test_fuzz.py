"""A few seconds of fire with fixed seeds: never a fault of the server, never a text of its inside, never an end."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from hostler.conformance.wire import envelope
from tests.api.asking import Told
from tests.fuzz import aiming
from tests.fuzz.range import Hit, Range, judge
from tests.fuzz.shots import Shot
from tests.server import short_folder

pytestmark = pytest.mark.sandbox
QUICK = settings(
    deadline=None,
    database=None,
    max_examples=500,
    derandomize=False,
    phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


@pytest.fixture(scope="module")
def target() -> Iterator[Range]:
    with short_folder() as folder, Range(folder) as made:
        yield made


def fire(target: Range, what: st.SearchStrategy[Shot], number: int) -> None:
    """Shoot a number of times, the same each time."""

    @seed(number)
    @QUICK
    @given(what)
    def shoot(shot: Shot) -> None:
        target.shoot(shot)

    shoot()


def test_no_call_breaks_the_server(target: Range) -> None:
    fire(target, aiming.at_methods(target), 1)


def test_no_request_of_a_route_breaks_the_server(target: Range) -> None:
    fire(target, aiming.at_routes(target), 2)


def test_afterwards_every_execution_can_be_stopped(target: Range) -> None:
    assert target.shots
    target.settle()


def test_what_is_too_large_is_refused(target: Range) -> None:
    for kind in ("application/json", "application/proto"):
        headers = (("content-type", kind),)
        for path in ("/api/gitpod.v1.AgentService/StartAgent", "/api/gitpod.v1.AgentService/ListAgentExecutions"):
            told = target.shoot(Shot("POST", path, "", headers, b'{"name": "' + b"x" * (9 << 20) + b'"}'))
            assert told.status == 429, told


def test_every_method_and_route_is_shot_at(target: Range) -> None:
    paths = target.methods()
    assert len(aiming.calls(target)) == len(paths), [path for path in paths if aiming.described(path) is None]
    assert len(target.targets()) > 60


SHOT = Shot("POST", "/x", "", (("content-type", "application/json"),), b"{}")
FAULTS = {
    "a fault": Told(500, {"content-type": "application/json"}, b'{"code": "internal", "message": "x"}'),
    "an unknown code": Told(503, {"content-type": "application/json"}, b'{"code": "unknown", "message": "x"}'),
    "a traceback": Told(
        400, {"content-type": "application/json"}, b'{"code": "aborted", "message": "Traceback (most"}'
    ),
    "a class": Told(400, {"content-type": "application/json"}, b'{"code": "aborted", "message": "KeyError: 1"}'),
    "a statement": Told(400, {"content-type": "application/json"}, b'{"code": "x", "message": "SELECT id FROM row"}'),
    "gRPC-Web": Told(200, {"content-type": "application/grpc-web+proto"}, envelope(b"grpc-status: 13\r\n", 0x80)),
    "a stream": Told(200, {"content-type": "application/connect+json"}, envelope(b'{"error":{"code":"internal"}}', 2)),
    "nothing": Told(),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_must_not_be_answered_is_found_and_can_be_done_again(name: str) -> None:
    with pytest.raises(Hit) as found:
        judge(SHOT, FAULTS[name])
    assert "curl -sS -i -X POST" in str(found.value)
