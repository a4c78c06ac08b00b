"""From the URL that names some code to the source an environment is made from. Pure: nothing is looked up.

Accepted: an http or https URL of a repository, or of a page about it at a GitHub- or GitLab-like host (a tree, commit,
tag, pull or merge request, issue); and, where the server may read this machine's files, a file:// URL or an absolute
path. A fragment names the ref after a file:// URL, a path, or a URL that ends in `.git`.
"""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from hostler.core.errors import InvalidArgument
from hostler.core.providers import LocalRepository, RemoteRepository

FORMS = "accepted are https://HOST/OWNER/REPO, http://HOST/PATH, a page below it (/tree/REF, /pull/N, /commit/SHA)"
LOCAL_FORMS = f"{FORMS}, file:///PATH and an absolute path"
BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[-/]|[/.]$|\.lock$")
SCP_LIKE = re.compile(r"(?:[^@/\s]+@)?[\w.-]+:(?!//)\S+")
SHA = re.compile(r"[0-9a-fA-F]{7,64}")
LONGEST_REF = 255


@dataclass(frozen=True, slots=True)
class Page:
    """What the path of a web page says: how many of its segments name the repository, and the ref."""

    depth: int
    ref: str | None


def source_of(
    url: str, *, local: bool, head: str = "", field: str = "code_context.context_url.url"
) -> RemoteRepository | LocalRepository:
    """Return the repository that a context URL names; `head` is the ref where the URL itself has none.

    InvalidArgument names the field and the accepted forms; `local` allows repositories on this machine.
    """
    parts = _split(url, local, field)
    if parts.scheme in ("http", "https"):
        clone, ref = _remote(parts, local, field)
        return RemoteRepository(clone, checked(ref or head or None, field))
    path = unquote(parts.path)
    if "\0" in path or not path.startswith("/"):
        raise _refused("the path must be absolute", local, field)
    return LocalRepository(path, checked(unquote(parts.fragment) or head or None, field))


def checked(ref: str | None, field: str) -> str | None:
    """Return a ref that git may be given; InvalidArgument for one that it would not take for a name."""
    if ref is not None and (not ref or len(ref) > LONGEST_REF or BAD_REF.search(ref)):
        raise InvalidArgument(f"{ref[:80]!r} is not the name of a branch, tag or commit", field=field)
    return ref


def _split(url: str, local: bool, field: str) -> SplitResult:
    if not url or any(c <= " " or c == "\x7f" for c in url):
        raise _refused("a URL without spaces is needed", local, field)
    if url.startswith("/") and not url.startswith("//"):
        path, _, fragment = url.partition("#")
        parts = SplitResult("file", "", path, "", fragment)
    else:
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError:
            raise _refused("this is not a URL", local, field) from None
    match parts.scheme:
        case "http" | "https" if parts.hostname:
            return parts
        case "file" if parts.hostname not in (None, "", "localhost"):
            raise _refused("a file:// URL names no other host", local, field)
        case "file" if not local:
            reason = "files of the server's machine can be used only where it listens on loopback"
            raise _refused(reason, local, field)
        case "file":
            return parts
        case _ if parts.scheme == "ssh" or SCP_LIKE.fullmatch(url):
            raise _refused("SSH addresses are not cloned; write it as https://HOST/OWNER/REPO", local, field)
        case _:
            raise _refused("this is not an http or https URL", local, field)


def _remote(parts: SplitResult, local: bool, field: str) -> tuple[str, str | None]:
    """Return (clone URL, ref) of an http URL."""
    if parts.username is not None or parts.password is not None:
        raise _refused("credentials do not belong into a URL", local, field)
    segments = [segment for segment in parts.path.split("/") if segment]
    if not segments:
        raise _refused("the URL names no repository", local, field)
    page = _page(segments)
    path = "/".join(segments[: page.depth])
    ref = page.ref
    if ref is None and path.endswith(".git"):
        ref = unquote(parts.fragment) or None
    return f"{parts.scheme}://{parts.netloc}/{path}", ref


PAGES = frozenset({"tree", "commits", "commit", "pull", "releases", "tags", "issues"})
"""What stands behind owner and repository where no `/-/` divides them from the page."""


def _page(segments: list[str]) -> Page:
    """Read the path of a page; one that is no known page is the repository itself."""
    if segments[-1].endswith(".git"):
        return Page(len(segments), None)
    plain = len(segments) > 3 and segments[2] in PAGES and segments[3] != "-"
    if "-" in segments[2:] and not plain:
        depth = segments.index("-", 2)
        return _named(depth, segments[depth + 1 :], "merge_requests", "refs/merge-requests/{}/head")
    if len(segments) > 3:
        return _named(2, segments[2:], "pull", "refs/pull/{}/head")
    return Page(len(segments), None)


def _named(depth: int, rest: list[str], requests: str, ref: str) -> Page:
    """Read what follows the repository: the kind of the page, and what it is about."""
    everything = Page(depth + (len(rest) if requests == "pull" else 0), None)
    match rest:
        case [kind, number, *_] if kind == requests and number.isascii() and number.isdigit():
            return Page(depth, ref.format(number))
        case ["commit", sha, *_] if SHA.fullmatch(sha):
            return Page(depth, sha)
        case ["tree" | "commits", *name] if name:
            return Page(depth, unquote("/".join(name)))
        case ["releases", "tag", *name] | ["tags", *name] if name:
            return Page(depth, unquote("/".join(name)))
        case ["issues", *_]:
            return Page(depth, None)
        case _:
            return everything


def _refused(reason: str, local: bool, field: str) -> InvalidArgument:
    return InvalidArgument(f"{reason}; {LOCAL_FORMS if local else FORMS}", field=field)
