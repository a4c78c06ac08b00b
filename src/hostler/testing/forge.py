"""What a code host of tests knows: branches, pull requests, and who may ask; with its API as a function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

Json = Mapping[str, Any]
AUTHOR = "ann"


@dataclass(slots=True)
class Pull:
    """A pull request."""

    repository: str
    number: int
    title: str
    head: str
    base: str
    body: str = ""
    draft: bool = False
    fork: str = ""
    """The repository that its branch lies in, where it is another one."""


def everywhere(repository: str, branch: str) -> str:
    """Return a commit for every branch."""
    return "c0ffee0000000000000000000000000000000000"


@dataclass(slots=True)
class ForgeBook:
    """One code host; `secret` is the token that it takes, empty: it takes any, and none."""

    kind: Literal["github", "gitlab"]
    host: str
    secret: str = ""
    commit_of: Callable[[str, str], str] = everywhere
    """Returns the commit of a repository's branch, empty where there is none."""
    pulls: list[Pull] = field(default_factory=list[Pull])
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    lost_answers: int = 0
    """How many of the next pull requests are opened without an answer that arrives."""
    forgets: int = 0
    """How many of the next ones come to nothing, although they were answered."""

    @property
    def root(self) -> str:
        """Return where the API begins."""
        return "/api/v3" if self.kind == "github" else "/api/v4"

    def add(self, repository: str, title: str, head: str, base: str = "main", fork: str = "") -> Pull:
        """Have a pull request that somebody opened."""
        pull = Pull(repository, len(self.pulls) + 1, title, head, base, fork=fork)
        self.pulls.append(pull)
        return pull

    def answer(self, method: str, target: str, authorization: str, body: Json | None) -> tuple[int, Any]:
        """Return status and JSON of one call."""
        parts = urlsplit(target)
        self.asked.append((method, parts.path))
        if self.secret and authorization != f"Bearer {self.secret}":
            return 401, {"message": "Bad credentials"}
        path = parts.path.removeprefix(self.root)
        query = dict(parse_qsl(parts.query))
        if path in ("/meta", "/version"):
            return (200, {"version": "1"}) if (path == "/meta") == (self.kind == "github") else (404, {})
        return (
            self._github(method, path, query, body)
            if self.kind == "github"
            else self._gitlab(method, path, query, body)
        )

    def _github(self, method: str, path: str, query: Json, body: Json | None) -> tuple[int, Any]:
        repository, _, number = path.removeprefix("/repos/").partition("/pulls")
        if method == "POST" and body is not None:
            return self._open(repository, body, body["head"], body["base"], str(body["body"]), bool(body["draft"]))
        if number:
            return self._one(repository, number.strip("/"))
        head = str(query.get("head", "")).partition(":")[2]
        return 200, [self._shown(pull) for pull in self._from(repository, head, str(query.get("base", "")))]

    def _gitlab(self, method: str, path: str, query: Json, body: Json | None) -> tuple[int, Any]:
        project, _, number = path.removeprefix("/projects/").partition("/merge_requests")
        repository = unquote(project)
        if project.isdigit():
            fork = next(pull.fork for pull in self.pulls if pull.number + 1000 == int(project))
            return 200, {"http_url_to_repo": f"https://{self.host}/{fork}.git"}
        if method == "POST" and body is not None:
            return self._open(repository, body, body["source_branch"], body["target_branch"], str(body["description"]))
        if number:
            return self._one(repository, number.strip("/"))
        asked = self._from(repository, str(query.get("source_branch", "")), str(query.get("target_branch", "")))
        return 200, [self._shown(pull) for pull in asked]

    def _from(self, repository: str, head: str, base: str) -> list[Pull]:
        return [pull for pull in self.pulls if (pull.repository, pull.head, pull.base) == (repository, head, base)]

    def _one(self, repository: str, number: str) -> tuple[int, Any]:
        for pull in self.pulls:
            if pull.repository == repository and str(pull.number) == number:
                return 200, self._shown(pull)
        return 404, {"message": "Not Found"}

    def _open(
        self, repository: str, asked: Json, head: str, base: str, body: str, draft: bool = False
    ) -> tuple[int, Any]:
        if not self.commit_of(repository, head) or not self.commit_of(repository, base):
            return 422, {"message": "Validation Failed", "errors": [{"message": "head or base is no branch"}]}
        if self._from(repository, head, base):
            return (422 if self.kind == "github" else 409), {"message": "there is a pull request already"}
        pull = self.add(repository, str(asked["title"]), head, base)
        if self.forgets:
            self.forgets -= 1
            self.pulls.remove(pull)
        pull.body, pull.draft = body, draft or pull.title.startswith("Draft: ")
        return 201, self._shown(pull)

    def _shown(self, pull: Pull) -> Json:
        if self.kind == "gitlab":
            return {
                "iid": pull.number,
                "title": pull.title,
                "source_branch": pull.head,
                "target_branch": pull.base,
                "description": pull.body,
                "draft": pull.draft,
                "state": "opened",
                "author": {"username": AUTHOR},
                "source_project_id": pull.number + 1000 if pull.fork else 1,
                "target_project_id": 1,
                "web_url": f"https://{self.host}/{pull.repository}/-/merge_requests/{pull.number}",
            }
        return {
            "number": pull.number,
            "title": pull.title,
            "body": pull.body,
            "draft": pull.draft,
            "state": "open",
            "user": {"login": AUTHOR},
            "head": {"ref": pull.head, "repo": self._repository(pull.fork or pull.repository)},
            "base": {"ref": pull.base, "repo": self._repository(pull.repository)},
            "html_url": f"https://{self.host}/{pull.repository}/pull/{pull.number}",
        }

    def _repository(self, path: str) -> Json:
        return {"full_name": path, "clone_url": f"https://{self.host}/{path}.git"}
