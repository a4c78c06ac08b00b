"""What the web addresses of code hosts say: which repository, and which branch, tag, commit, request or issue. Pure.

Each host has its own way to write a page about a repository; `read` tells them apart by the host's name and by the
shape of the path. What is no known page is the address of a repository itself.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import SplitResult, parse_qs, unquote

Scm = Literal["github", "gitlab", "bitbucket", "azuredevops", "git", "local"]
Form = Literal["repository", "branch", "tag", "commit", "pull", "issue"]
SHA = re.compile(r"[0-9a-fA-F]{7,64}")
PLAIN = frozenset({"tree", "blob", "commits", "commit", "pull", "pulls", "releases", "tags", "issues", "src"})
"""What stands behind owner and repository where no `/-/` divides them from the page."""
GITLABS = frozenset({"tree", "blob", "commits", "commit", "merge_requests", "tags", "issues"})
"""What no repository of GitLab may be called, so that old addresses without `/-/` can be told from groups of groups."""


@dataclass(frozen=True, slots=True)
class Address:
    """A repository and what a page of it is about; `path` is the clone URL's, without the first slash."""

    scm: Scm
    path: str
    owner: str
    repo: str
    form: Form = "repository"
    value: str = ""
    """The name of the branch or tag, the commit, or the number of the request or issue."""
    ref: str | None = None
    """What git fetches for it; None: the default branch, or (for a request) nothing that git could name."""


def read(parts: SplitResult) -> Address:
    """Return what an http address says; a path of at least one segment is needed."""
    host, segments = (parts.hostname or "").lower(), [one for one in parts.path.split("/") if one]
    if "_git" in segments or "_workitems" in segments:
        return _azure(segments, parts.query)
    if segments[-1].endswith(".git"):
        return _repository(_scm_of(host), segments)
    if segments[0] in ("projects", "users") and segments[2:3] == ["repos"] and len(segments) > 3:
        return _bitbucket_server(segments, parts.query)
    if host == "bitbucket.org":
        return _bitbucket_cloud(segments)
    scm = _scm_of(host)
    plain = len(segments) > 3 and segments[2] in PLAIN and segments[3] != "-"
    if "-" in segments[2:] and not plain:
        depth = segments.index("-", 2)
        return _gitlab(segments[:depth], segments[depth + 1 :])
    if scm == "gitlab":
        old = len(segments) > 3 and segments[2] in GITLABS
        return _gitlab(segments[:2], segments[2:]) if old else _repository(scm, segments)
    if len(segments) > (2 if scm == "github" else 3):
        return _hub(scm, segments)
    return _repository(scm, segments)


def _scm_of(host: str) -> Scm:
    for scm in ("github", "gitlab", "bitbucket"):
        if scm in host:
            return scm
    return "azuredevops" if host == "dev.azure.com" or host.endswith(".visualstudio.com") else "git"


def _repository(scm: Scm, segments: list[str]) -> Address:
    owner, repo = "/".join(segments[:-1]), segments[-1]
    return Address(scm, "/".join(segments), unquote(owner), unquote(repo.removesuffix(".git")))


def _ref_or_commit(address: Address, name: str) -> Address:
    """Return the page of a branch, or of a commit when only that can be meant."""
    name = unquote(name)
    form: Form = "commit" if len(name) >= 40 and SHA.fullmatch(name) else "branch"
    return replace(address, form=form, value=name, ref=name)


def _tag(address: Address, name: str) -> Address:
    return replace(address, form="tag", value=unquote(name), ref=unquote(name))


def _request(address: Address, number: str, ref: str | None) -> Address:
    return replace(address, form="pull", value=number, ref=ref)


def _hub(scm: Scm, segments: list[str]) -> Address:
    """Read the pages of GitHub, Gitea, Forgejo and others of their kind."""
    here = _repository(scm, segments[:2])
    match segments[2:]:
        case ["pull" | "pulls", number, *_] if _is_number(number):
            return _request(here, number, f"refs/pull/{number}/head")
        case ["commit", sha, *_] if SHA.fullmatch(sha):
            return replace(here, form="commit", value=sha, ref=sha)
        case ["src", "branch", *name] | ["tree" | "commits", *name] if name:
            return _ref_or_commit(here, "/".join(name))
        case ["src", "commit", sha, *_] if SHA.fullmatch(sha):
            return replace(here, form="commit", value=sha, ref=sha)
        case ["blob", name, _, *_]:
            return _ref_or_commit(here, name)
        case ["releases", "tag", *name] | ["src", "tag", *name] | ["tags", *name] if name:
            return _tag(here, "/".join(name))
        case ["issues", number, *_] if _is_number(number):
            return replace(here, form="issue", value=number)
        case ["issues", *_]:
            return here
        case _:
            return here if scm == "github" else _repository(scm, segments)


def _gitlab(repository: list[str], page: list[str]) -> Address:
    """Read the pages of GitLab, whose repositories may lie in groups of groups."""
    here = _repository("gitlab", repository)
    match page:
        case ["merge_requests", number, *_] if _is_number(number):
            return _request(here, number, f"refs/merge-requests/{number}/head")
        case ["commit", sha, *_] if SHA.fullmatch(sha):
            return replace(here, form="commit", value=sha, ref=sha)
        case ["tree" | "commits", *name] if name:
            return _ref_or_commit(here, "/".join(name))
        case ["blob", name, _, *_]:
            return _ref_or_commit(here, name)
        case ["tags", *name] | ["releases", *name] if name:
            return _tag(here, "/".join(name))
        case ["issues" | "work_items", number, *_] if _is_number(number):
            return replace(here, form="issue", value=number)
        case _:
            return here


def _bitbucket_cloud(segments: list[str]) -> Address:
    here = _repository("bitbucket", segments[:2])
    match segments[2:]:
        case ["pull-requests", number, *_] if _is_number(number):
            return _request(here, number, None)
        case ["commits", "tag", *name] if name:
            return _tag(here, "/".join(name))
        case ["commits", sha, *_] if SHA.fullmatch(sha):
            return replace(here, form="commit", value=sha, ref=sha)
        case ["branch", *name] if name:
            return _ref_or_commit(here, "/".join(name))
        case ["src", name, *_]:
            return _ref_or_commit(here, name)
        case ["issues", number, *_] if _is_number(number):
            return replace(here, form="issue", value=number)
        case _:
            return here


def _bitbucket_server(segments: list[str], query: str) -> Address:
    """Read the pages of Bitbucket Data Center: /projects/KEY/repos/REPO, or /users/NAME/repos/REPO."""
    owner = segments[1] if segments[0] == "projects" else f"~{segments[1]}"
    repo = segments[3]
    here = Address("bitbucket", f"scm/{owner.lower()}/{repo}.git", unquote(owner), unquote(repo))
    at = parse_qs(query).get("at", [""])[0]
    match segments[4:]:
        case ["pull-requests", number, *_] if _is_number(number):
            return _request(here, number, f"refs/pull-requests/{number}/from")
        case ["commits", sha, *_] if SHA.fullmatch(sha):
            return replace(here, form="commit", value=sha, ref=sha)
        case _ if at.startswith("refs/tags/"):
            return _tag(here, at.removeprefix("refs/tags/"))
        case _ if at:
            return _ref_or_commit(here, at.removeprefix("refs/heads/"))
        case _:
            return here


def _azure(segments: list[str], query: str) -> Address:
    """Read the pages of Azure DevOps: ORGANIZATION/PROJECT/_git/REPO, the project's own name when REPO is all."""
    if "_git" not in segments:
        depth = segments.index("_workitems")
        project = segments[depth - 1] if depth else ""
        here = _azure_repository(segments[:depth], project)
        number = segments[-1]
        return replace(here, form="issue", value=number) if _is_number(number) else here
    depth = segments.index("_git")
    here = _azure_repository(segments[:depth], segments[depth + 1] if len(segments) > depth + 1 else "")
    version = parse_qs(query).get("version", [""])[0]
    match segments[depth + 2 :], version[:2], version[2:]:
        case (["pullrequest", number, *_], _, _) if _is_number(number):
            return _request(here, number, f"refs/pull/{number}/merge")
        case (["commit", sha, *_], _, _) if SHA.fullmatch(sha):
            return replace(here, form="commit", value=sha, ref=sha)
        case (_, "GB", name) if name:
            return _ref_or_commit(here, name)
        case (_, "GT", name) if name:
            return _tag(here, name)
        case (_, "GC", sha) if SHA.fullmatch(sha):
            return replace(here, form="commit", value=sha, ref=sha)
        case _:
            return here


def _azure_repository(before: list[str], repo: str) -> Address:
    path = "/".join([*before, "_git", repo])
    return Address("azuredevops", path, unquote("/".join(before)), unquote(repo))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20
