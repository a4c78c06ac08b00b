"""The committed code is what proto/ generates."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.sdks import ROOT

GENERATE = ROOT / "proto" / "generate.py"


def check(script: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)


def test_generated_code_is_not_stale() -> None:
    done = check(GENERATE)
    assert done.returncode == 0, done.stderr


def test_a_changed_proto_file_is_noticed_and_named(tmp_path: Path) -> None:
    shutil.copytree(GENERATE.parent, tmp_path / "proto")
    shutil.copytree(ROOT / "src" / "hostler" / "contract", tmp_path / "src" / "hostler" / "contract")
    changed = tmp_path / "proto" / "gitpod" / "v1" / "pagination.proto"
    changed.write_text(changed.read_text().replace("uint32", "int64").replace("int32", "int64"))
    done = check(tmp_path / "proto" / "generate.py")
    assert done.returncode != 0
    assert "gitpod/v1/pagination_pb.py" in done.stderr
