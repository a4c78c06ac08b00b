"""Our descriptors are those of the official client, field by field, in both directions."""

import base64

import pytest
from protobuf.wkt import FileDescriptorSet

from tests import sdks
from tests.contract import deviations
from tests.contract.shapes import Shape, generated_files, shape_of

pytestmark = [pytest.mark.sdk, pytest.mark.timeout(600)]

DUMP = """
import base64, importlib, pkgutil
import gitpod.v1, supervisor.v1
from google.protobuf.descriptor_pb2 import FileDescriptorSet
found = FileDescriptorSet()
for package in (gitpod.v1, supervisor.v1):
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.endswith("_pb2"):
            importlib.import_module(f"{package.__name__}.{module.name}").DESCRIPTOR.CopyToProto(found.file.add())
print(base64.b64encode(found.SerializeToString()).decode())
"""


@pytest.fixture(scope="module")
def theirs() -> Shape:
    done = sdks.run(sdks.GITPOD_1_2, DUMP)
    assert done.returncode == 0, done.stderr
    return shape_of(FileDescriptorSet.from_binary(base64.b64decode(done.stdout)).file)


@pytest.fixture(scope="module")
def ours() -> Shape:
    return shape_of(generated_files())


def test_the_client_knows_every_message_that_is_not_of_another_generation(ours: Shape, theirs: Shape) -> None:
    unknown = ours.messages.keys() - theirs.messages.keys()
    assert unknown == deviations.MESSAGES_OF_OTHER_GENERATIONS | deviations.MESSAGES_OF_OURS.keys()


def test_shared_messages_have_the_same_fields_and_rules(ours: Shape, theirs: Shape) -> None:
    different = {}
    for message in ours.messages.keys() & theirs.messages.keys():
        for name in ours.messages[message].keys() | theirs.messages[message].keys():
            key = (message, name)
            mine, other = ours.messages[message].get(name), theirs.messages[message].get(name)
            if key in deviations.RELAXED_RULES and mine and other:
                mine, other = mine | {"rules": None}, other | {"rules": None}
            if mine != other and key not in deviations.FIELDS_OF_OURS:
                different[key] = (mine, other)
    assert different == {}


def test_shared_messages_have_the_same_json_names(ours: Shape, theirs: Shape) -> None:
    shared = ours.json_names.keys() & theirs.json_names.keys()
    assert {n: ours.json_names[n] for n in shared} == {n: theirs.json_names[n] for n in shared}


def test_shared_messages_require_the_same_oneofs(ours: Shape, theirs: Shape) -> None:
    shared = theirs.messages.keys() & ours.messages.keys()
    assert ours.required_oneofs == {oneof for oneof in theirs.required_oneofs if oneof.rpartition(".")[0] in shared}


def test_fields_of_ours_use_only_numbers_that_the_client_reserves(ours: Shape, theirs: Shape) -> None:
    for message, numbers in deviations.RESERVED_NUMBERS_IN_USE.items():
        if message in theirs.messages:
            assert set(theirs.reserved[message]) - set(ours.reserved.get(message, [])) == numbers


def test_shared_enums_have_the_same_values(ours: Shape, theirs: Shape) -> None:
    assert ours.enums.keys() <= theirs.enums.keys()
    different = {
        (enum, value)
        for enum in ours.enums
        for value in ours.enums[enum].keys() | theirs.enums[enum].keys()
        if ours.enums[enum].get(value) != theirs.enums[enum].get(value)
    }
    assert different == deviations.ENUM_VALUES_OF_OTHER_GENERATIONS
    assert ours.deprecated_values == {v for v in theirs.deprecated_values if v.rpartition(".")[0] in ours.enums}


def test_methods_are_the_same(ours: Shape, theirs: Shape) -> None:
    for service, methods in ours.methods.items():
        others = deviations.METHODS_OF_OTHER_GENERATIONS.get(service, set())
        known = {name: method for name, method in methods.items() if name not in others}
        assert known.items() <= theirs.methods[service].items()
        assert not others & theirs.methods[service].keys()
        if service in deviations.WHOLE_SERVICES:
            assert known.keys() == theirs.methods[service].keys()
