"""Reads descriptors into plain facts that can be compared: ours, an official client's and the committed list."""

import importlib
import json
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from protobuf import message_to_json_value
from protobuf.wkt import FileDescriptorProto
from protobuf.wkt.google.protobuf.descriptor_pb import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto
from protovalidate import ViolationPb

from hostler import contract

RULES = importlib.import_module(ViolationPb.__module__)
"""The module with the rules' extensions, wherever the validator keeps it."""

OUR_PACKAGES = ("gitpod.v1", "supervisor.v1")


@dataclass(slots=True)
class Shape:
    """What a set of files says, without comments, order or grouping."""

    methods: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    messages: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    enums: dict[str, dict[str, int]] = field(default_factory=dict)
    deprecated_values: set[str] = field(default_factory=set)
    reserved: dict[str, list[int]] = field(default_factory=dict)
    required_oneofs: set[str] = field(default_factory=set)
    json_names: dict[str, str] = field(default_factory=dict)


def generated_files() -> Iterator[FileDescriptorProto]:
    """Yields the description of each generated file."""
    for info in pkgutil.walk_packages(contract.__path__, contract.__name__ + "."):
        if info.name.endswith("_pb"):
            yield importlib.import_module(info.name).desc().proto


def shape_of(files: Iterable[FileDescriptorProto]) -> Shape:
    """Reads the files of our packages."""
    shape = Shape()
    for file in files:
        if file.package not in OUR_PACKAGES:
            continue
        for message in file.message_type:
            _add_message(shape, file.package, message)
        for enum in file.enum_type:
            _add_enum(shape, file.package, enum)
        for service in file.service:
            shape.methods[f"{file.package}.{service.name}"] = {
                method.name: [
                    method.input_type.lstrip("."),
                    method.output_type.lstrip("."),
                    *(["stream"] if method.server_streaming else []),
                    *(["pure"] if method.options and method.options.idempotency_level == 1 else []),
                ]
                for method in service.method
            }
    return shape


def _add_message(shape: Shape, scope: str, message: DescriptorProto) -> None:
    name = f"{scope}.{message.name}"
    entries = {f"{name}.{m.name}": m for m in message.nested_type if m.options and m.options.map_entry}
    shape.messages[name] = {f.name: _field(message, f, entries) for f in message.field}
    shape.json_names |= {f"{name}.{f.name}": f.json_name for f in message.field}
    if message.reserved_range:
        shape.reserved[name] = sorted(n for span in message.reserved_range for n in range(span.start, span.end))
    for oneof in message.oneof_decl:
        if oneof.options and oneof.options[RULES.ext_oneof].required:
            shape.required_oneofs.add(f"{name}.{oneof.name}")
    for enum in message.enum_type:
        _add_enum(shape, name, enum)
    for nested in message.nested_type:
        if f"{name}.{nested.name}" not in entries:
            _add_message(shape, name, nested)


def _add_enum(shape: Shape, scope: str, enum: EnumDescriptorProto) -> None:
    name = f"{scope}.{enum.name}"
    shape.enums[name] = {value.name: value.number for value in enum.value}
    shape.deprecated_values |= {f"{name}.{v.name}" for v in enum.value if v.options and v.options.deprecated}


def _field(
    message: DescriptorProto, proto: FieldDescriptorProto, entries: dict[str, DescriptorProto]
) -> dict[str, Any]:
    entry = entries.get(proto.type_name.lstrip("."))
    facts: dict[str, Any] = {"number": proto.number, "type": _type(proto), "label": "singular"}
    if entry:
        key, value = entry.field
        facts |= {"type": f"map<{_type(key)},{_type(value)}>", "label": "map"}
    elif proto.label == FieldDescriptorProto.Label.REPEATED:
        facts["label"] = "repeated"
    elif proto.proto3_optional:
        facts["label"] = "optional"
    elif proto.has_field("oneof_index"):
        facts["oneof"] = message.oneof_decl[proto.oneof_index].name
    if proto.options and proto.options.deprecated:
        facts["deprecated"] = True
    if proto.options and RULES.ext_field in proto.options:
        facts["rules"] = _rules(proto)
    return facts


def _type(proto: FieldDescriptorProto) -> str:
    return proto.type_name.lstrip(".") or proto.type.name.lower()


def _rules(proto: FieldDescriptorProto) -> dict[str, Any]:
    rules = json.loads(json.dumps(message_to_json_value(proto.options[RULES.ext_field], use_proto_field_name=True)))
    for expression in rules.get("cel", []):
        expression.pop("message", None)  # the words are ours
    return rules
