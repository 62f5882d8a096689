"""What marker files say, and when they are believed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.contract.malformed import Malformed
from runctl_agent.errors import NotFoundError, WrongStateError
from runctl_agent.records import FileId, ProcessId, Writer
from runctl_agent.training import marker_file
from runctl_agent.training.marker_file import LIMIT, STILL, Look, Looker, look_at, set_aside, write
from runctl_agent.training.markers import (
    SETTLE,
    Marker,
    Markers,
    MarkerSet,
    Stability,
    decode_baseline,
    parse_exit_code,
    parse_pid,
)
from runctl_agent.training.record import ExitRecord, encode_record
from tests.fakes.clock import FakeRuntime

RECORD = ExitRecord("gpt2", 1, ProcessId(7, 8, "boot"), 0, None, None, 1.0, 2.0, 3)


def file(body: bytes, inode: int = 1, writer: Writer = Writer.NONE) -> Look:
    return Look(FileId(1, inode, len(body), inode), 1000, body, writer)


def looks(**found: Look) -> dict[Marker, Look]:
    return {marker: found.get(marker.value, Look()) for marker in Marker}


@given(st.binary())
def test_the_parsers_are_total(body: bytes) -> None:
    for parse, low, high in ((parse_pid, 1, 2**22), (parse_exit_code, 0, 255)):
        found = parse(body)
        if isinstance(found, Malformed):
            assert "bytes)" in found.reason
        else:
            assert found is None or low <= found <= high
    assert (parse_pid(body) is None) == (body.strip() == b"")


@given(st.integers(1, 2**22), st.sampled_from([b"%d", b"%d\n", b" %d\r\n", b"\t%d"]))
def test_a_number_may_stand_among_white_space(pid: int, form: bytes) -> None:
    assert parse_pid(form % pid) == pid


@pytest.mark.parametrize("body", [b"-1", b"256", b"0x1", b"1 2", b"1\n2", "١".encode(), b"1\0", b"1" * 4096, b"1_0", b"+1"])
def test_what_is_no_exit_code(body: bytes) -> None:
    assert isinstance(parse_exit_code(body), Malformed)


def test_garbage_is_not_shown_for_it_may_be_a_secret() -> None:
    found = parse_pid(b"secret")
    assert isinstance(found, Malformed)
    assert "secret" not in found.reason


def test_nothing_there_says_nothing() -> None:
    markers = MarkerSet()
    assert markers.baseline() is None
    assert markers.observe(looks(), 0.0) == Markers()


def test_what_was_there_at_the_first_look_is_ignored_until_it_changes() -> None:
    markers = MarkerSet()
    old = looks(exit_code=file(b"3"), complete=file(b"done"))
    for now in (0.0, 10.0, 20.0):
        assert markers.observe(old, now) == Markers()
    seen = markers.observe(looks(exit_code=file(b"0", inode=2), complete=file(b"done")), 30.0)
    assert (seen.exit_code, seen.exit_code_since, seen.complete_since) == (0, 30.0, None)
    seen = markers.observe(looks(exit_code=file(b"0", inode=2), complete=file(b"done", inode=2)), 40.0)
    assert (seen.exit_code_since, seen.complete_since) == (30.0, 40.0)


def test_a_pid_file_is_read_though_it_was_there_before() -> None:
    markers = MarkerSet()
    seen = markers.observe(looks(pid=file(b"4711\n")), 0.0)
    assert (seen.pid, seen.pid_new, seen.pid_written_by) == (4711, False, 1000)
    seen = markers.observe(looks(pid=file(b"4712\n", inode=2)), 1.0)
    assert (seen.pid, seen.pid_new) == (4712, True)


def test_an_agent_that_comes_back_in_the_same_attempt_believes_what_appeared_meanwhile() -> None:
    before = MarkerSet()
    before.observe(looks(complete=file(b"old")), 0.0)
    kept = decode_baseline(json.loads(json.dumps(before.baseline())))
    assert not isinstance(kept, Malformed)
    assert kept == before.baseline()
    seen = MarkerSet(kept).observe(looks(complete=file(b"old"), exit_code=file(b"1")), 0.0)
    assert (seen.exit_code, seen.complete_since) == (1, None)
    assert MarkerSet().observe(looks(exit_code=file(b"1")), 0.0).exit_code is None


def test_after_a_new_attempt_began_the_last_ones_markers_are_stale() -> None:
    markers = MarkerSet()
    markers.observe(looks(pid=file(b"1")), 0.0)
    old = {"exit_code": file(b"0", inode=5), "complete": file(b"done", inode=6), "record": file(encode_record(RECORD), inode=7)}
    seen = markers.observe(looks(pid=file(b"1"), **old), 1.0)
    assert (seen.exit_code, seen.complete_since, seen.record_new) == (0, 1.0, True)
    markers.observe(looks(pid=file(b"2", inode=2), **old), 2.0)
    markers.renew()
    seen = markers.observe(looks(pid=file(b"2", inode=2), **old), 3.0)
    assert (seen.pid, seen.pid_new) == (2, True)
    assert (seen.exit_code, seen.exit_code_since, seen.complete_since, seen.record_new) == (None, None, None, False)


def test_what_a_short_attempt_left_before_it_was_noticed_is_its_own() -> None:
    markers = MarkerSet()
    old = file(b"0", inode=5)
    markers.observe(looks(pid=file(b"1"), exit_code=old), 0.0)
    markers.observe(looks(pid=file(b"2", inode=2), exit_code=file(b"1", inode=6)), 1.0)
    markers.renew()
    seen = markers.observe(looks(pid=file(b"2", inode=2), exit_code=file(b"1", inode=6)), 2.0)
    assert seen.exit_code == 1


def test_a_record_is_decoded_and_said_to_be_new_or_not() -> None:
    markers = MarkerSet()
    seen = markers.observe(looks(record=file(encode_record(RECORD))), 0.0)
    assert (seen.record, seen.record_new) == (RECORD, False)
    seen = markers.observe(looks(record=file(encode_record(RECORD), inode=2)), 0.0)
    assert (seen.record, seen.record_new) == (RECORD, True)
    assert isinstance(markers.observe(looks(record=file(b"{}", inode=3)), 0.0).record, Malformed)


@pytest.mark.parametrize(
    "plain",
    [
        None,
        [],
        {},
        {"pid": None},
        {marker: [1, 2, 3] for marker in Marker},
        dict.fromkeys(Marker, "x"),
        {marker: [1, 2, 3, "4"] for marker in Marker},
    ],
)
def test_a_garbled_baseline_is_told(plain: object) -> None:
    assert isinstance(decode_baseline(plain), Malformed)


@given(st.lists(st.tuples(st.sampled_from([b"", b"1", b"13", b"137"]), st.floats(0.0, 3.0)), min_size=1))
def test_what_may_have_a_writer_is_believed_only_after_two_equal_looks_far_enough_apart(steps: list[tuple[bytes, float]]) -> None:
    stability = Stability()
    now, since, last = 0.0, 0.0, None
    for body, wait in steps:
        now += wait
        if body != last:
            since, last = now, body
        assert stability.observe(file(body, len(body), Writer.UNKNOWN), now) == (now - since >= SETTLE)


def test_a_file_is_looked_at_with_its_owner_and_whether_it_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "code"
    path.write_bytes(b"0\n")
    status = path.stat()
    look = look_at(str(tmp_path), "code")
    assert look == Look(FileId(status.st_dev, status.st_ino, 2, status.st_mtime_ns), status.st_uid, b"0\n", look.writer)
    assert look_at("/", str(path)) == look
    assert look.writer is not Writer.OPEN
    with path.open("ab"):
        assert look_at(str(tmp_path), "code").writer is not Writer.NONE


@pytest.mark.parametrize("path", ["absent", "absent/code", "/absent/code"])
def test_an_absent_file_is_no_problem(tmp_path: Path, path: str) -> None:
    assert look_at(str(tmp_path), path) == Look()
    assert look_at(str(tmp_path / "absent"), path) == Look()


def test_only_the_beginning_of_a_large_file_is_read(tmp_path: Path) -> None:
    with (tmp_path / "done").open("wb") as sparse:
        sparse.truncate(2**40)
    look = look_at(str(tmp_path), "done")
    assert len(look.body) == LIMIT
    assert look.id is not None
    assert look.id.size == 2**40


UNPRIVILEGED = """
import os
from runctl_agent.training.marker_file import look_at
if os.getuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
print(look_at(".", "code").problem)
"""


def test_a_file_that_may_not_be_read_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "code"
    path.write_text("0")
    path.chmod(0)
    tmp_path.chmod(0o755)
    said = subprocess.run([sys.executable, "-c", UNPRIVILEGED], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "can't be read: Permission denied"


def test_a_marker_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "code"
    path.write_text("old")
    with path.open() as reader:
        write(str(tmp_path), "code", b"0\n", FakeRuntime())
        assert reader.read() == "old"
    assert path.read_text() == "0\n"
    assert os.listdir(tmp_path) == ["code"]


def test_a_name_of_255_bytes_is_written_too(tmp_path: Path) -> None:
    write(str(tmp_path), "n" * 255, b"0\n", FakeRuntime())
    assert os.listdir(tmp_path) == ["n" * 255]


def test_what_can_not_be_written_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no directory") as error:
        write(str(tmp_path), "absent/code", b"0", FakeRuntime())
    assert error.value.mend == f"mkdir -p {tmp_path}/absent"
    (tmp_path / "code").mkdir()
    with pytest.raises(WrongStateError, match="can't write code: Is a directory"):
        write(str(tmp_path), "code", b"0", FakeRuntime())
    assert os.listdir(tmp_path) == ["code"]


def test_a_marker_is_set_aside_under_the_first_free_number(tmp_path: Path) -> None:
    assert set_aside(str(tmp_path), "code") is None
    assert set_aside(str(tmp_path), "absent/code") is None
    for number in (1, 2, 3):
        (tmp_path / "code").write_text(str(number))
        assert set_aside(str(tmp_path), "code") == f"code.stale-{number}"
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["1", "2", "3"]


def long_looked_at(path: Path, monkeypatch: pytest.MonkeyPatch) -> Looker:
    """A looker that has seen the same for so long that it opens nothing any more."""
    looker = Looker(str(path.parent), path.name)
    for _ in range(STILL + 2):
        looker.look()
    with monkeypatch.context() as patch:
        patch.setattr(marker_file, "look_at", lambda *_: pytest.fail("looked at again"))
        assert looker.look() is looker.look()
    return looker


@pytest.mark.parametrize("body", [b"4711\n", None])
def test_what_stands_still_is_not_opened_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes | None
) -> None:
    path = tmp_path / "training.pid"
    if body is not None:
        path.write_bytes(body)
    looker = long_looked_at(path, monkeypatch)
    assert looker.look().body == (body or b"")
    path.write_bytes(b"4712\n")
    assert looker.look().body == b"4712\n"
    path.write_bytes(b"4713\n")
    assert looker.look().body == b"4713\n", "in place, with as many bytes"
    other = tmp_path / "other"
    other.write_bytes(b"4714\n")
    other.rename(path)
    assert looker.look().body == b"4714\n"
    path.unlink()
    assert looker.look() == Look()


def test_what_could_not_be_opened_is_opened_again_though_it_stands_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason may be the agent's own: it had no descriptor left."""
    path = tmp_path / "code"
    path.write_bytes(b"0")
    looker = Looker(str(tmp_path), "code")
    with monkeypatch.context() as for_now:
        for_now.setattr(marker_file, "look_at", lambda *_: Look(problem="can't be read: Too many open files"))
        for _ in range(STILL + 2):
            assert looker.look().problem
    assert looker.look().body == b"0"
    assert looker.look().problem == ""


def test_a_link_that_takes_the_place_of_what_stood_still_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, secret = tmp_path / "code", tmp_path / "secret"
    path.write_bytes(b"0")
    secret.write_bytes(b"1")
    looker = long_looked_at(path, monkeypatch)
    path.unlink()
    path.symlink_to(secret)
    assert (looker.look().body, looker.look().problem) == (b"", "is a symbolic link, not a regular file")


def test_below_a_directory_of_the_users_every_component_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "code").write_bytes(b"1")
    looker = Looker(str(tmp_path), "out/code")
    for _ in range(STILL + 2):
        assert looker.look() == Look()
    (tmp_path / "out").rmdir()
    (tmp_path / "out").symlink_to("elsewhere")
    assert looker.look().problem == "can't be read: Not a directory"


def test_markers_that_did_not_change_are_what_they_were(tmp_path: Path) -> None:
    found, same = looks(pid=file(b"1")), MarkerSet()
    first = same.observe(found, 0.0)
    assert same.observe(found, 0.5) == first
    settled = same.observe(found, SETTLE)
    assert same.observe(found, 100.0) is settled
    same.renew()
    assert same.observe(found, 101.0) == settled
    ended = same.observe({**found, Marker.EXIT_CODE: file(b"0")}, 102.0)
    assert (ended.exit_code, ended.exit_code_since) == (0, 102.0)
