"""What the pages of code hosts say."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.core.addresses import Address, read
from hostler.core.context import BAD_REF, context_of, source_of
from hostler.core.errors import InvalidArgument
from hostler.core.providers import RemoteRepository

HASH = "0123456789abcdef0123456789abcdef01234567"
GITHUB, GITLAB, BITBUCKET = (
    "https://github.com/ann/shop",
    "https://gitlab.com/org/team/sub/shop",
    "https://bitbucket.org/ann/shop",
)
AZURE, SERVER = "https://dev.azure.com/org/proj/_git/shop", "https://bb.example/projects/KEY/repos/shop"
FORGE = "https://forge.example/ann/shop"

PAGES = [
    (GITHUB, "repository", "", None),
    (f"{GITHUB}.git", "repository", "", None),
    (f"{GITHUB}/tree/feature/x", "branch", "feature/x", "feature/x"),
    (f"{GITHUB}/tree/{HASH}", "commit", HASH, HASH),
    (f"{GITHUB}/blob/main/src/a.py", "branch", "main", "main"),
    (f"{GITHUB}/releases/tag/v1.0", "tag", "v1.0", "v1.0"),
    (f"{GITHUB}/commit/0123abc", "commit", "0123abc", "0123abc"),
    (f"{GITHUB}/pull/12/files", "pull", "12", "refs/pull/12/head"),
    (f"{GITHUB}/issues/7#issuecomment-1", "issue", "7", None),
    (f"{GITHUB}/issues/new", "repository", "", None),
    (f"{GITHUB}/issues", "repository", "", None),
    (f"{GITHUB}/wiki", "repository", "", None),
    (f"{GITHUB}/actions/runs/5", "repository", "", None),
    (GITLAB, "repository", "", None),
    (f"{GITLAB}/-/tree/feature/x?ref_type=heads", "branch", "feature/x", "feature/x"),
    (f"{GITLAB}/-/blob/main/a.py", "branch", "main", "main"),
    (f"{GITLAB}/-/tags/v1.0", "tag", "v1.0", "v1.0"),
    (f"{GITLAB}/-/commit/{HASH}", "commit", HASH, HASH),
    (f"{GITLAB}/-/merge_requests/4/diffs", "pull", "4", "refs/merge-requests/4/head"),
    (f"{GITLAB}/-/issues/9", "issue", "9", None),
    (f"{GITLAB}/-/work_items/9", "issue", "9", None),
    ("https://gitlab.example/org/shop/tree/main", "branch", "main", "main"),
    ("https://gitlab.example/org/shop/merge_requests/4", "pull", "4", "refs/merge-requests/4/head"),
    ("https://gitlab.example/org/src/team/shop", "repository", "", None),
    (BITBUCKET, "repository", "", None),
    (f"{BITBUCKET}/src/main/README.md", "branch", "main", "main"),
    (f"{BITBUCKET}/src/{HASH}/", "commit", HASH, HASH),
    (f"{BITBUCKET}/branch/feature/x", "branch", "feature/x", "feature/x"),
    (f"{BITBUCKET}/commits/tag/v1.0", "tag", "v1.0", "v1.0"),
    (f"{BITBUCKET}/commits/0123abc", "commit", "0123abc", "0123abc"),
    (f"{BITBUCKET}/pull-requests/3/diff", "pull", "3", None),
    (f"{BITBUCKET}/issues/5/title", "issue", "5", None),
    (SERVER, "repository", "", None),
    (f"{SERVER}/browse?at=refs%2Fheads%2Ffeature%2Fx", "branch", "feature/x", "feature/x"),
    (f"{SERVER}/browse?at=refs/tags/v1", "tag", "v1", "v1"),
    (f"{SERVER}/commits/{HASH}", "commit", HASH, HASH),
    (f"{SERVER}/pull-requests/8/overview", "pull", "8", "refs/pull-requests/8/from"),
    (AZURE, "repository", "", None),
    (f"{AZURE}?version=GBfeature%2Fx", "branch", "feature/x", "feature/x"),
    (f"{AZURE}?version=GTv1.0", "tag", "v1.0", "v1.0"),
    (f"{AZURE}?version=GC{HASH}", "commit", HASH, HASH),
    (f"{AZURE}/commit/{HASH}", "commit", HASH, HASH),
    (f"{AZURE}/pullrequest/6", "pull", "6", "refs/pull/6/merge"),
    (f"{FORGE}/src/branch/feature/x", "branch", "feature/x", "feature/x"),
    (f"{FORGE}/src/tag/v1", "tag", "v1", "v1"),
    (f"{FORGE}/src/commit/{HASH}", "commit", HASH, HASH),
    (f"{FORGE}/pulls/2", "pull", "2", "refs/pull/2/head"),
    ("https://git.example/deep/er/path/shop.git", "repository", "", None),
]
CLONES = {
    "github": "https://github.com/ann/shop",
    "gitlab": "https://gitlab.com/org/team/sub/shop",
    "bitbucket": "https://bitbucket.org/ann/shop",
    "azuredevops": "https://dev.azure.com/org/proj/_git/shop",
}


def page(url: str) -> Address:
    return read(urlsplit(url))


@pytest.mark.parametrize(("url", "form", "value", "ref"), PAGES)
def test_a_page_is_about_one_thing_of_one_repository(url: str, form: str, value: str, ref: str | None) -> None:
    found = page(url)
    assert (found.form, found.value, found.ref, found.repo) == (form, value, ref, "shop")


HOSTS = ("github.com", "gitlab.com", "bitbucket.org", "dev.azure.com")


@pytest.mark.parametrize("url", [url for url, *_ in PAGES if urlsplit(url).hostname in HOSTS])
def test_every_page_leads_to_its_repositorys_clone_address(url: str) -> None:
    context = context_of(url, local=False, field="url")
    assert isinstance(context.source, RemoteRepository)
    assert context.source.url.removesuffix(".git") == CLONES[context.address.scm]


@pytest.mark.parametrize(
    ("url", "scm", "owner", "clone"),
    [
        (GITHUB, "github", "ann", GITHUB),
        (f"{GITLAB}/-/issues/9", "gitlab", "org/team/sub", GITLAB),
        (f"{BITBUCKET}/src/main", "bitbucket", "ann", BITBUCKET),
        (f"{SERVER}/browse", "bitbucket", "KEY", "https://bb.example/scm/key/shop.git"),
        ("https://bb.example/users/ann/repos/shop", "bitbucket", "~ann", "https://bb.example/scm/~ann/shop.git"),
        ("https://org@dev.azure.com/org/proj/_git/shop", "azuredevops", "org/proj", AZURE),
        (
            "https://org.visualstudio.com/proj/_git/shop",
            "azuredevops",
            "proj",
            "https://org.visualstudio.com/proj/_git/shop",
        ),
        (
            "https://dev.azure.com/org/shop/_workitems/edit/3",
            "azuredevops",
            "org/shop",
            "https://dev.azure.com/org/shop/_git/shop",
        ),
        ("https://git.example:8443/a/b/shop.git", "git", "a/b", "https://git.example:8443/a/b/shop.git"),
    ],
)
def test_owner_and_clone_address_are_read_as_each_host_writes_them(url: str, scm: str, owner: str, clone: str) -> None:
    context = context_of(url, local=False, field="url")
    assert (context.address.scm, context.address.owner, context.address.repo) == (scm, owner, "shop")
    assert context.source == RemoteRepository(clone, None) or context.address.ref


def test_a_request_at_a_host_without_refs_for_them_needs_its_branch() -> None:
    url = f"{BITBUCKET}/pull-requests/3"
    with pytest.raises(InvalidArgument, match=r"^here: .*branch"):
        source_of(url, local=False, field="here")
    assert source_of(url, local=False, head="fix") == RemoteRepository(BITBUCKET, "fix")


def test_a_password_is_refused_also_where_a_user_name_is_usual() -> None:
    with pytest.raises(InvalidArgument, match="credentials"):
        source_of("https://org:token@dev.azure.com/org/proj/_git/shop", local=False)


@pytest.mark.parametrize("url", ["https://dev.azure.com/org/proj/_git", "https://dev.azure.com/_workitems/edit/3"])
def test_an_address_without_a_repository_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument, match="names no repository"):
        source_of(url, local=False)


def test_a_path_of_this_machine_has_no_host() -> None:
    context = context_of("/srv/git/shop.git#v1", local=True, field="url")
    assert (context.host, context.address.scm, context.address.repo, context.address.value) == (
        "",
        "local",
        "shop",
        "v1",
    )


WORDS = (
    *("-", "_git", "_workitems", "projects", "users", "repos", "tree", "blob", "src", "branch", "tag", "commit"),
    *("commits", "pull", "pulls", "pull-requests", "pullrequest", "merge_requests", "issues", "edit", "releases"),
    *("tags", "browse", "a", "b.git", "1", "0", HASH, "%2F", "%00", "..", "x%20y", "é"),
)
QUERIES = ("", "version=GBmain", "version=GTv%201", "version=GCzz", "version=", "at=refs/heads/-x", "at=refs/tags/")


@given(
    host=st.sampled_from((*HOSTS, "gitlab.example", "git.example:8443", "org.visualstudio.com")),
    words=st.lists(st.sampled_from(WORDS), max_size=8),
    query=st.sampled_from(QUERIES),
)
def test_any_page_of_any_host_is_read_or_refused(host: str, words: list[str], query: str) -> None:
    url = f"https://{host}/{'/'.join(words)}?{query}"
    try:
        context = context_of(url, local=False, field="url")
    except InvalidArgument:
        return
    assert isinstance(context.source, RemoteRepository)
    assert context.source.url.startswith(f"https://{host}/")
    assert context.address.repo
    assert context.source.ref is None or not BAD_REF.search(context.source.ref)
    assert (context.address.form == "repository") == (context.address.value == "")
