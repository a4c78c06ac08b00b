"""Generates src/hostler/contract from the .proto files beside this script, or checks that it is up to date.

Works offline. The compiler and its plugins come from the development requirements. The contract imports
buf/validate/validate.proto, whose text no package ships; its descriptor is part of protovalidate, so this script
writes the declarations out of that descriptor into the temporary folder where buf compiles. The rules that the
file carries about itself are left out: they play no part in compiling the contract.

Usage: generate.py [--check]
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from protobuf.wkt.google.protobuf.descriptor_pb import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from protovalidate import ViolationPb

PROTO = Path(__file__).resolve().parent
CONTRACT = PROTO.parent / "src" / "hostler" / "contract"
PACKAGE_DOCSTRING = '"""Code generated from proto/ by proto/generate.py; never edited."""\n'


def field_lines(field: FieldDescriptorProto, indent: str) -> Iterator[str]:
    """Writes one field declaration."""
    kind = field.type_name or field.type.name.lower()
    label = "" if field.has_field("oneof_index") else f"{field.label.name.lower()} "
    yield f"{indent}{label}{kind} {field.name} = {field.number};"


def enum_lines(enum: EnumDescriptorProto, indent: str) -> Iterator[str]:
    """Writes one enum declaration."""
    yield f"{indent}enum {enum.name} {{"
    yield from (f"{indent}  {value.name} = {value.number};" for value in enum.value)
    yield f"{indent}}}"


def message_lines(message: DescriptorProto, indent: str = "") -> Iterator[str]:
    """Writes one message declaration with what is nested in it."""
    inner = indent + "  "
    yield f"{indent}message {message.name} {{"
    for nested in message.nested_type:
        yield from message_lines(nested, inner)
    for enum in message.enum_type:
        yield from enum_lines(enum, inner)
    for field in message.field:
        if not field.has_field("oneof_index"):
            yield from field_lines(field, inner)
    for index, oneof in enumerate(message.oneof_decl):
        yield f"{inner}oneof {oneof.name} {{"
        for field in message.field:
            if field.has_field("oneof_index") and field.oneof_index == index:
                yield from field_lines(field, inner + "  ")
        yield f"{inner}}}"
    yield from (f"{inner}extensions {span.start} to {span.end - 1};" for span in message.extension_range)
    yield f"{indent}}}"


def file_lines(file: FileDescriptorProto) -> Iterator[str]:
    """Writes a proto2 file as declarations only."""
    yield 'syntax = "proto2";'
    yield f"package {file.package};"
    yield from (f'import "{name}";' for name in file.dependency)
    for message in file.message_type:
        yield from message_lines(message)
    for enum in file.enum_type:
        yield from enum_lines(enum, "")
    for extension in file.extension:
        yield f"extend {extension.extendee} {{"
        yield from field_lines(extension, "  ")
        yield "}"


def compile_contract(workspace: Path, out: Path) -> None:
    """Compiles the contract into `out`, with `workspace` as scratch space; a compiler error ends the process."""
    shutil.copytree(PROTO, workspace, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    rules = ViolationPb.desc().file.proto
    target = workspace / rules.name
    target.parent.mkdir(parents=True)
    target.write_text("\n".join(file_lines(rules)) + "\n")
    tools = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', '')}"}
    command = [tools / "buf", "generate", "--path", "gitpod", "--path", "supervisor", "-o", out]
    if subprocess.run(command, cwd=workspace, env=environment, check=False).returncode:
        sys.exit("The contract does not compile.")
    (out / "__init__.py").write_text(PACKAGE_DOCSTRING)


def differences(left: Path, right: Path) -> list[str]:
    """Lists the Python files that are not the same in two folders."""
    names = {path.relative_to(root) for root in (left, right) for path in root.rglob("*.py")}
    return sorted(str(name) for name in names if not _same(left / name, right / name))


def _same(left: Path, right: Path) -> bool:
    return left.is_file() and right.is_file() and filecmp.cmp(left, right, shallow=False)


def main(arguments: Iterable[str]) -> None:
    """Regenerates the contract; with --check only says what a regeneration would change, and fails if anything."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        compile_contract(Path(folder, "in"), out)
        if "--check" not in arguments:
            shutil.rmtree(CONTRACT, ignore_errors=True)
            shutil.copytree(out, CONTRACT)
        elif stale := differences(out, CONTRACT):
            sys.exit("src/hostler/contract is stale, run `make contract`: " + ", ".join(stale))


if __name__ == "__main__":
    main(sys.argv[1:])
