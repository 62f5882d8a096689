"""What somebody may open by themselves, and where links lead. As root's agent against another user: tests/attack."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runctl_agent import access
from runctl_agent.access import NOBODY, READ, ROOT, SEARCH, WRITE, Access, access_of, open_way, way

ME = Access(1000, frozenset({1000, 7}))


def status(mode: int, uid: int = ROOT, gid: int = ROOT) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "want", "may"),
    [
        (0o600, 1000, 0, READ, True),
        (0o000, 1000, 0, READ | WRITE | SEARCH, True),  # whoever owns it may chmod it
        (0o600, 0, 0, READ, False),
        (0o604, 0, 0, READ, True),
        (0o640, 0, 7, READ, True),
        (0o604, 0, 7, READ, False),  # the group's bits decide for its members
        (0o711, 0, 0, SEARCH, True),
        (0o711, 0, 0, READ | SEARCH, False),
        (0o775, 0, 1000, READ | WRITE | SEARCH, True),
    ],
)
def test_rights_are_those_of_the_kernel(mode: int, uid: int, gid: int, want: int, *, may: bool) -> None:
    assert ME.may(status(mode, uid, gid), want) == may
    assert Access(ROOT, frozenset()).may(status(mode, uid, gid), want)


def test_who_is_in_no_database_is_in_no_group() -> None:
    assert access_of(3_999_999_999) == Access(3_999_999_999, frozenset())
    assert os.getgid() in access_of(os.getuid()).groups or os.getuid() != ROOT


@pytest.mark.parametrize(
    ("link", "directory", "planter"),
    [
        (status(0o777, 1000), status(0o755), 1000),
        (status(0o777), status(0o755), ROOT),
        (status(0o777), status(0o755, 1000), 1000),  # root's own, moved there by whoever holds the directory
        (status(0o777), status(0o777), NOBODY),
        (status(0o777), status(stat.S_ISVTX | 0o777), ROOT),
    ],
)
def test_whose_link_it_is(link: os.stat_result, directory: os.stat_result, planter: int) -> None:
    assert access._planter(link, directory) == planter


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directories a/b/a/b, with links up, here, to the top by its whole path, to nothing, to itself, and a file, in each."""
    top = here = tmp_path_factory.mktemp("tree")
    for name in ("a", "b", "a", "b", ""):
        for link, target in (("up", ".."), ("here", "."), ("abs", str(top)), ("gone", "nowhere"), ("loop", "loop")):
            (here / link).symlink_to(target)
        (here / "file").write_bytes(b"")
        if name:
            here /= name
            here.mkdir()
    return top


@given(
    parts=st.lists(st.sampled_from(["a", "b", "up", "here", "abs", "..", ".", "gone", "loop", "file"]), min_size=1, max_size=8)
)
@example(parts=["file", ".."])
@example(parts=["a", "up", "..", "a"])
def test_it_leads_where_the_kernel_would_go(tree: Path, parts: list[str]) -> None:
    path = os.path.join(tree, *parts)
    if not os.path.isdir(path):
        with pytest.raises(OSError), way(path):  # noqa: PT011 - whichever the kernel has
            pass
        with pytest.raises(OSError):  # noqa: PT011
            open_way(path)
        return
    fd = open_way(path)
    try:
        assert os.path.samestat(os.fstat(fd), os.stat(path))
        assert sorted(os.listdir(fd)) == sorted(os.listdir(path))
    finally:
        os.close(fd)


def test_what_is_replaced_is_looked_at_again(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    link = tmp_path / "link"
    for name in ("one", "two", "one"):
        link.unlink(missing_ok=True)
        link.symlink_to(name)
        with way(str(link)) as fd:
            assert os.path.samestat(os.fstat(fd), os.stat(tmp_path / name))
