"""What `--repo` and `--ref` mean: a folder on this machine, or the URL of a repository."""

import re
from pathlib import Path
from urllib.parse import quote

from hostler.cli.problems import usage

_SCP = re.compile(r"(?P<user>[\w.-]+)@(?P<host>[\w.-]+):(?P<path>(?!/)\S+)")
_SSH = re.compile(r"ssh://(?:[\w.-]+@)?(?P<host>[\w.-]+)(?::\d+)?/(?P<path>\S+)")

_PAGE = {"-", "tree", "commit", "commits", "pull", "tags", "releases", "issues"}


def url(given: str) -> str:
    """Return the URL that names the code; an ssh address becomes the https one of the same repository."""
    for form in (_SCP, _SSH):
        if match := form.fullmatch(given.strip()):
            return f"https://{match['host']}/{match['path']}"
    if re.match(r"[a-z][a-z+]*://", given):
        return given
    return folder(given).as_uri()


def with_ref(address: str, ref: str) -> str:
    """Return the URL that names one ref of a repository, in a form that the API reads."""
    scheme, _, rest = address.partition("://")
    _, *segments = rest.rstrip("/").split("/")
    if "#" in address or (scheme != "file" and _PAGE & set(segments[2:])):
        raise usage(f"--ref: the URL names a ref already: {address}")
    if scheme == "file" or address.endswith(".git"):
        return f"{address}#{quote(ref, safe='/')}"
    if len(segments) < 2:
        raise usage(f"--ref: write the URL so that it ends in .git: {address.rstrip('/')}.git")
    return f"{address.rstrip('/')}/{'tree' if len(segments) == 2 else '-/tree'}/{quote(ref, safe='/')}"


def folder(given: str) -> Path:
    """Return the top folder of the repository that `given` lies in; raises Problem when there is none."""
    path = Path(given).expanduser().resolve()
    if not path.is_dir():
        raise usage(f"--repo: {given} is neither a folder on this machine nor a URL")
    for place in (path, *path.parents):
        if (place / ".git").exists():
            return place
    if (path / "HEAD").is_file() and (path / "objects").is_dir():
        return path
    raise usage(f"--repo: {path} is not in a Git repository (make it one: git init && git add -A && git commit)")
