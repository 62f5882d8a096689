"""The code archive: the same files give the same bytes, and nothing leads out of it."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import runctl.bundle
from runctl.bundle import packed, upload
from runctl_agent.errors import ConfigError
from tests.fakes.memory_store import MemoryStore

NAME = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
PATHS = st.lists(NAME, min_size=1, max_size=3).map("/".join)
INSIDE = PATHS.filter(lambda path: not {".", ".."} & {*path.split("/")})
TREES = st.dictionaries(INSIDE, st.tuples(st.binary(max_size=200), st.booleans()), max_size=6)


def one_tree(paths: list[str]) -> bool:
    return not any(one.startswith(f"{other}/") for one in paths for other in paths)


def write(root: Path, tree: dict[str, tuple[bytes, bool]], mtime: int) -> None:
    for path, (content, executable) in tree.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o700 if executable else 0o640)
        os.utime(file, (mtime, mtime))


def archive(root: Path, paths: list[str]) -> tuple[str, bytes]:
    with packed(str(root), paths) as bundle:
        body = bundle.file.read()
        assert len(body) == bundle.bytes
        return bundle.sha256, body


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(TREES.filter(lambda tree: one_tree([*tree])))
def test_the_bytes_depend_on_names_contents_and_the_executable_bit_alone(tree: dict[str, tuple[bytes, bool]]) -> None:
    with TemporaryDirectory() as here, TemporaryDirectory() as there:
        write(Path(here), tree, 1_000_000_000)
        write(Path(there), dict(reversed(tree.items())), 1_700_000_000)
        first = archive(Path(here), sorted(tree))
        assert first == archive(Path(there), sorted(tree, reverse=True))
        with tarfile.open(fileobj=io.BytesIO(first[1])) as opened, TemporaryDirectory() as target:
            opened.extractall(target, filter="data")
            assert {(member.mtime, member.uid, member.uname) for member in opened} <= {(0, 0, "")}
            for path, (content, executable) in tree.items():
                found = Path(target) / path
                assert found.read_bytes() == content
                assert bool(found.stat().st_mode & 0o100) == executable


def test_another_content_is_another_hash(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    before = archive(tmp_path, ["a"])[0]
    (tmp_path / "a").write_text("two")
    assert archive(tmp_path, ["a"])[0] != before


def test_links_that_lead_out_and_what_is_no_file_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").write_text("a")
    for name, target in {
        "in": "a",
        "sub/up": "../a",
        "out": "../outside",
        "absolute": "/etc/passwd",
        "sub/far": "../../x",
        "sub/round": f"../../{tmp_path.name}/a",
    }.items():
        (tmp_path / name).symlink_to(target)
    os.mkfifo(tmp_path / "pipe")
    with packed(str(tmp_path), ["a", "in", "sub/up", "out", "absolute", "sub/far", "sub/round", "pipe"]) as bundle:
        assert bundle.files == 3 + 1
        assert dict(bundle.left_out).keys() == {"out", "absolute", "sub/far", "pipe"}
        with tarfile.open(fileobj=bundle.file) as opened, TemporaryDirectory() as target:
            assert opened.getnames() == ["a", "in", "sub/round", "sub/up"]


def test_too_large_names_the_largest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runctl.bundle, "LARGEST", 1000)
    (tmp_path / "small").write_bytes(b"x")
    (tmp_path / "weights.bin").write_bytes(b"x" * 2048)
    with (
        pytest.raises(ConfigError, match=r"weights.bin \(2.0 KiB\), small \(1 B\)"),
        packed(str(tmp_path), ["small", "weights.bin"]),
    ):
        pass


def test_it_is_sent_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    store = MemoryStore()
    with packed(str(tmp_path), ["a"]) as bundle:
        assert [upload(bundle, store, "code/x"), upload(bundle, store, "code/x")] == [True, False]
        got = store.get("code/x")
        assert got is not None
        assert got.body == bundle.file.read()


def test_a_file_that_can_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("a")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(runctl.bundle, "open", refuse, raising=False)
    with pytest.raises(ConfigError, match="Permission denied"), packed(str(tmp_path), ["a"]):
        pass
