"""From the URL that names some code to the source an environment is made from. Pure: nothing is looked up.

Accepted: an http or https URL of a repository, or of a page about it as `hostler.core.addresses` reads them (a tree,
commit, tag, pull or merge request, issue); and, where the server may read this machine's files, a file:// URL or an
absolute path. A fragment names the ref after a file:// URL, a path, or a URL that ends in `.git`.
"""

import re
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, unquote, urlsplit

from hostler.core.addresses import Address, read
from hostler.core.errors import InvalidArgument
from hostler.core.hosts import host_of
from hostler.core.providers import LocalRepository, RemoteRepository

FORMS = "accepted are https://HOST/OWNER/REPO, http://HOST/PATH, a page below it (/tree/REF, /pull/N, /commit/SHA)"
LOCAL_FORMS = f"{FORMS}, file:///PATH and an absolute path"
BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[-/]|[/.]$|\.lock$")
SCP_LIKE = re.compile(r"(?:[^@/\s]+@)?[\w.-]+:(?!//)\S+")
LONGEST_REF = 255


@dataclass(frozen=True, slots=True)
class Context:
    """What a context URL says: the source, the address that it was read from, and the host (empty for this machine)."""

    source: RemoteRepository | LocalRepository
    address: Address
    host: str


def source_of(
    url: str, *, local: bool, head: str = "", field: str = "code_context.context_url.url"
) -> RemoteRepository | LocalRepository:
    """Return the repository that a context URL names; `head` is the ref where the URL itself has none.

    InvalidArgument names the field and the accepted forms; `local` allows repositories on this machine.
    """
    context = context_of(url, local=local, field=field)
    source = context.source
    if context.address.form == "pull" and not (source.ref or head):
        reason = "this host gives no ref for a pull request; name its branch, or the URL of its branch"
        raise InvalidArgument(reason, field=field)
    return source if source.ref or not head else replace(source, ref=checked(head, field))


def context_of(url: str, *, local: bool, field: str) -> Context:
    """Return everything that a context URL says; errors as those of `source_of`."""
    parts = _split(url, local, field)
    if parts.scheme in ("http", "https"):
        return _remote(parts, local, field)
    path = unquote(parts.path)
    if "\0" in path or not path.startswith("/"):
        raise _refused("the path must be absolute", local, field)
    ref = checked(unquote(parts.fragment) or None, field)
    folder, _, name = path.rstrip("/").rpartition("/")
    address = Address(
        "local", path, folder, name.removesuffix(".git"), "branch" if ref else "repository", ref or "", ref
    )
    return Context(LocalRepository(path, ref), address, "")


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


def _remote(parts: SplitResult, local: bool, field: str) -> Context:
    """Read an http URL."""
    azure = (parts.hostname or "") == "dev.azure.com" and parts.password is None
    if not azure and (parts.username is not None or parts.password is not None):
        raise _refused("credentials do not belong into a URL", local, field)
    if not parts.path.strip("/"):
        raise _refused("the URL names no repository", local, field)
    if {".", ".."} & set(re.split(r"[/\\]", unquote(parts.path))):  # git goes there, whatever the address begins with
        raise _refused("a URL without . and .. in its path is needed", local, field)
    address = read(parts)
    if not address.repo:
        raise _refused("the URL names no repository", local, field)
    fragment = unquote(parts.fragment)
    if address.ref is None and fragment and address.path.endswith(".git"):
        address = replace(address, form="branch", value=fragment, ref=fragment)
    # Azure DevOps shows addresses with the organization as a user name in them, which is no secret.
    netloc = parts.netloc.rpartition("@")[2]
    source = RemoteRepository(f"{parts.scheme}://{netloc}/{address.path}", checked(address.ref, field))
    return Context(source, address, host_of(parts.geturl()))


def _refused(reason: str, local: bool, field: str) -> InvalidArgument:
    return InvalidArgument(f"{reason}; {LOCAL_FORMS if local else FORMS}", field=field)
