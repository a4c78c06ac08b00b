"""From context URLs to sources."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.core.context import BAD_REF, source_of
from hostler.core.errors import InvalidArgument
from hostler.core.providers import LocalRepository, RemoteRepository

HUB = "https://hub.example/o/r"
names = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789_.-", min_size=1, max_size=12).filter(
    lambda name: not name.startswith((".", "-")) and not name.endswith((".git", ".", ".lock")) and ".." not in name
)
refs = (
    st.lists(st.text("abcXYZ019_.-+#%é日", min_size=1, max_size=8), min_size=1, max_size=3)
    .map("/".join)
    .filter(lambda ref: not BAD_REF.search(ref) and not {".", ".."} & set(ref.split("/")))
)


@pytest.mark.parametrize(
    ("url", "clone", "ref"),
    [
        (HUB, HUB, None),
        (f"{HUB}/", HUB, None),
        (f"{HUB}.git", f"{HUB}.git", None),
        (f"{HUB}.git#dev", f"{HUB}.git", "dev"),
        (f"{HUB}#readme", HUB, None),
        (f"{HUB}?tab=code", HUB, None),
        (f"{HUB}/tree/feature/x", HUB, "feature/x"),
        (f"{HUB}/tree/feature%2Fx", HUB, "feature/x"),
        (f"{HUB}/commit/0123abc", HUB, "0123abc"),
        (f"{HUB}/pull/12", HUB, "refs/pull/12/head"),
        (f"{HUB}/pull/12/files", HUB, "refs/pull/12/head"),
        (f"{HUB}/releases/tag/v1.0", HUB, "v1.0"),
        (f"{HUB}/issues/3", HUB, None),
        ("https://lab.example/a/b/c", "https://lab.example/a/b/c", None),
        ("https://lab.example/a/b/c/-/tree/main", "https://lab.example/a/b/c", "main"),
        ("https://lab.example/a/b/-/merge_requests/4/diffs", "https://lab.example/a/b", "refs/merge-requests/4/head"),
        ("http://127.0.0.1:8000/git/deep/path/repo.git", "http://127.0.0.1:8000/git/deep/path/repo.git", None),
        ("http://127.0.0.1:8000/a/b/tree.git", "http://127.0.0.1:8000/a/b/tree.git", None),
    ],
)
def test_a_url_names_a_repository_and_a_ref(url: str, clone: str, ref: str | None) -> None:
    assert source_of(url, local=False) == RemoteRepository(clone, ref)


@pytest.mark.parametrize(
    ("url", "path", "ref"),
    [
        ("file:///srv/a%20b", "/srv/a b", None),
        ("file://localhost/srv/a#v1", "/srv/a", "v1"),
        ("/srv/a", "/srv/a", None),
        ("/srv/a#dev", "/srv/a", "dev"),
    ],
)
def test_a_path_of_this_machine_only_where_that_is_allowed(url: str, path: str, ref: str | None) -> None:
    assert source_of(url, local=True) == LocalRepository(path, ref)
    with pytest.raises(InvalidArgument, match=r"^code_context\.context_url\.url: .*loopback"):
        source_of(url, local=False)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "git@hub.example:o/r",
        "ssh://git@hub.example/o/r",
        "git://hub.example/o/r",
        "ftp://hub.example/o/r",
        "hub.example/o/r",
        "https://",
        "https://hub.example",
        "https://user:secret@hub.example/o/r",
        "https://token@hub.example/o/r",
        "https://hub.example:port/o/r",
        "https://[::1/o/r",
        "https://hub.example/o/r x",
        "https://hub.example/o/../evil/r.git",
        "https://hub.example/o/%2e%2E/evil/r",
        "https://hub.example/o/.%2e%2fevil/r",
        "https://github.com/o/./r",
        "//hub.example/o/r",
        "file://other/srv",
        "javascript:alert(1)",
    ],
)
def test_what_cannot_be_cloned_is_refused_with_what_is_accepted(url: str) -> None:
    with pytest.raises(InvalidArgument, match="accepted are https://") as refused:
        source_of(url, local=True, field="here")
    assert refused.value.field == "here"
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "ref", ["--upload-pack=x", "-x", "a..b", "a b", "a~1", "a^", "a:b", "x@{1}", "/a", "a/", "a.lock"]
)
def test_a_ref_that_git_could_misread_is_refused(ref: str) -> None:
    with pytest.raises(InvalidArgument):
        source_of(HUB, local=False, head=ref)


def test_a_ref_of_the_url_wins_over_the_pull_requests() -> None:
    assert source_of(f"{HUB}/tree/a", local=False, head="b") == RemoteRepository(HUB, "a")
    assert source_of(HUB, local=False, head="b") == RemoteRepository(HUB, "b")


@given(owner=names, repo=names, ref=refs)
def test_a_tree_page_gives_back_its_repository_and_ref(owner: str, repo: str, ref: str) -> None:
    page = f"https://hub.example/{owner}/{repo}/tree/{quote(ref)}"
    if page.endswith(".git"):
        return
    assert source_of(page, local=False) == RemoteRepository(f"https://hub.example/{owner}/{repo}", ref)


@given(url=st.text(max_size=60), local=st.booleans())
def test_any_text_is_read_or_refused(url: str, local: bool) -> None:
    for tried in (url, f"https://h/{url}", f"file:///{url}", f"https://{url}"):
        try:
            source = source_of(tried, local=local)
        except InvalidArgument:
            continue
        assert source.ref is None or not BAD_REF.search(source.ref)
        if isinstance(source, RemoteRepository):
            assert source.url.startswith(("https://", "http://"))
        else:
            assert local
            assert source.path.startswith("/")
