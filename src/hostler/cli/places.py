"""Where the server is and with which token it is spoken to: HOSTLER_URL and HOSTLER_TOKEN, else the data folder."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostler.cli.problems import Problem, Unreachable
from hostler.datafolder import default_data_folder


@dataclass(frozen=True, slots=True)
class Server:
    """A server's address and a token it accepts; `folder` is set when both came from a data folder."""

    url: str
    token: str
    folder: Path | None = None


def data_dir(given: Path | None = None) -> Path:
    """Return the data folder: the option, else HOSTLER_DATA_DIR, else the default one."""
    if given is not None:
        return given.expanduser().resolve()
    named = os.environ.get("HOSTLER_DATA_DIR", "")
    return (Path(named).expanduser() if named else default_data_folder()).resolve()


def named_url() -> str:
    """Return the address that the environment names, without a slash at its end; empty when it names none."""
    url = os.environ.get("HOSTLER_URL", "").strip().rstrip("/").removesuffix("/api")
    if url and not url.startswith(("http://", "https://")):
        raise Problem(f"HOSTLER_URL is {url!r}, but must begin with http:// or https://")
    return url


def find(given: Path | None = None) -> Server:
    """Return the server to speak to; raises Problem when none is known."""
    folder = data_dir(given)
    token = os.environ.get("HOSTLER_TOKEN", "").strip()
    if given is None and (url := named_url()):
        return Server(url, token or read_token(folder))
    known = server_file(folder)
    if not known:
        raise Unreachable(f"no server is known in {folder}: start one with `hostler serve`, or set HOSTLER_URL")
    return Server(str(known["url"]).rstrip("/"), token or read_token(folder), folder)


def server_file(folder: Path) -> dict[str, Any]:
    """Return what DIR/server.json says, or nothing when there is no such file or it is half written."""
    try:
        body: Any = json.loads((folder / "server.json").read_text())
        return {"url": str(body["url"]), "pid": int(body.get("pid", 0))}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def read_token(folder: Path) -> str:
    """Return the owner's token from the data folder."""
    try:
        return (folder / "token").read_text().strip()
    except OSError:
        raise Problem(f"there is no token: set HOSTLER_TOKEN (the owner's is kept in {folder / 'token'})") from None
