"""Whether Codex is there: the Python package openai-codex-cli-bin brings the program, the extra hostler[codex] that."""

from pathlib import Path

MISSING = "Codex is not installed: pip install 'hostler[codex]', then start the server again"


def folder() -> Path | None:
    """Return the folder that holds the program and what it needs; None when the package is not installed."""
    try:
        from codex_cli_bin import bundled_package_dir
    except ImportError:
        return None
    found = Path(bundled_package_dir())
    return found if (found / "bin" / "codex").exists() else None
