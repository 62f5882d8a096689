"""Files become objects: whole, verified, described, each byte read and sent once."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from runctl_agent.errors import PreconditionFailed, StoreError, StoreRefused, StoreUnavailable, WrongStateError
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store.journal import Journal
from runctl_agent.store.piece import read_piece
from runctl_agent.store.plan import Span
from runctl_agent.store.upload import Uploader
from tests.fakes.memory_store import MemoryStore
from tests.fakes.staged_files import FolderSource, finished, staged, write_files
from tests.fakes.uploads import BIG, BIG_KEY, CONTENTS, KEYS, PART, PREFIX, SMALL, SMALL_KEY, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(str(tmp_path))
    yield bench
    bench.close()


def test_every_file_is_there_as_it_was_written(bench: Bench) -> None:
    bench.send()
    assert {key: found.body for key, found in bench.store.objects.items()} == {
        BIG_KEY: CONTENTS[BIG],
        SMALL_KEY: CONTENTS[SMALL],
        f"{PREFIX}/sub/.metadata": b"",
    }
    assert bench.store.uploads == {}


def test_the_manifest_describes_each_file(bench: Bench) -> None:
    files = bench.send()
    for path, file in files.items():
        body = CONTENTS[path]
        assert (file.size, file.crc, file.encoding) == (len(body), zlib.crc32(body), "identity")
        assert file.mtime_ns == os.stat(bench.path(path)).st_mtime_ns
        assert bench.store.objects[KEYS.absolute(file.object)].body == body
    assert list(files) == sorted(CONTENTS)


def test_one_part_has_the_contents_digest_and_several_have_one_each(bench: Bench) -> None:
    files = bench.send()
    small, big = files[SMALL], files[BIG]
    assert (small.digest, small.parts) == (f"blake3:{blake3(CONTENTS[SMALL]).hexdigest()}", ())
    pieces = [CONTENTS[BIG][at : at + PART] for at in range(0, len(CONTENTS[BIG]), PART)]
    assert [part.digest for part in big.parts] == [f"blake3:{blake3(piece).hexdigest()}" for piece in pieces]
    assert [(part.offset, part.size) for part in big.parts] == [(0, PART), (PART, PART), (2 * PART, PART), (3 * PART, 100)]
    assert big.digest == f"blake3-parts:{blake3(b''.join(blake3(piece).digest() for piece in pieces)).hexdigest()}"


def test_small_files_are_single_puts_and_big_ones_are_confirmed_by_a_head(bench: Bench) -> None:
    bench.send()
    assert bench.store.count("put") == 2
    assert bench.store.count("put_part", BIG_KEY) == 4
    assert bench.store.count("head", BIG_KEY) == 1
    of_big = [method for method, key in bench.store.calls if key == BIG_KEY]
    assert of_big[-2:] == ["complete_multipart", "head"]


def test_each_byte_is_sent_once_and_counted(bench: Bench) -> None:
    bench.send()
    total = sum(map(len, CONTENTS.values()))
    assert bench.journal.totals().sent_bytes == total
    assert bench.journal.totals().sent_bytes == total
    assert bench.journal.pending().bytes == 0
    assert len(bench.source.opened) == 6


@settings(max_examples=25, deadline=None)
@given(size=st.one_of(st.integers(0, 5 * PART), st.sampled_from([PART - 1, PART, PART + 1, 2 * PART])))
def test_any_size_arrives(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    body = (b"0123456789" * PART)[:size]
    bench = Bench(str(tmp_path_factory.mktemp("any")), {"m.pt": body})
    try:
        file = bench.send()["m.pt"]
        assert bench.store.objects[KEYS.absolute(file.object)].body == body
        assert file.crc == zlib.crc32(body)
        assert len(file.parts) == (0 if size <= PART else -(-size // PART))
    finally:
        bench.close()


def test_threads_send_beside_each_other_and_never_more_than_the_width(tmp_path: Path) -> None:
    contents = {f"f{n}.pt": bytes([n]) * (n * 300) for n in range(20)}
    bench = Bench(str(tmp_path), contents)
    try:
        bench.live(ThreadRuntime())
        files = bench.send()
        assert {path: bench.store.objects[KEYS.absolute(file.object)].body for path, file in files.items()} == contents
        assert bench.store.uploads == {}
    finally:
        bench.close()


def test_a_store_that_keeps_no_checksums_is_read_back(tmp_path: Path) -> None:
    bench = Bench(str(tmp_path), store=MemoryStore(keeps_crc=False))
    try:
        bench.send()
        assert bench.store.count("get_range", BIG_KEY) == 1
    finally:
        bench.close()


def test_names_that_are_not_utf8_arrive_percent_encoded(tmp_path: Path) -> None:
    bench = Bench(str(tmp_path), {"caf\udce9 1.pt": b"x"})
    try:
        file = bench.send()["caf\udce9 1.pt"]
        assert file.object == "data/000007-00000001/checkpoint-5/caf%E9%201.pt"
    finally:
        bench.close()


def test_a_row_without_an_epoch_is_not_sent(tmp_path: Path) -> None:
    bench = Bench(str(tmp_path))
    journal = Journal(str(tmp_path / "other.db"), owner="o", alive=lambda owner: True)
    try:
        row = journal.add(write_files(str(tmp_path / "w"), CONTENTS), 1.0)
        assert row is not None
        with pytest.raises(WrongStateError):
            bench.uploader.send(row, bench.source)
        assert bench.store.calls == []
    finally:
        journal.close()
        bench.close()


class TestFailures:
    def test_what_was_sent_before_an_error_is_neither_sent_nor_read_again(self, bench: Bench) -> None:
        bench.store.fail_next("put_part", skip=2)
        with pytest.raises(StoreUnavailable):
            bench.send()
        assert BIG_KEY not in bench.store.objects
        opened = len(bench.source.opened)
        bench.send()
        assert bench.store.objects[BIG_KEY].body == CONTENTS[BIG]
        assert bench.journal.totals().sent_bytes == sum(map(len, CONTENTS.values()))
        assert len(bench.source.opened) - opened == 4
        assert bench.store.count("create_multipart") == 1

    def test_after_a_commit_that_failed_nothing_is_read_or_sent_again(self, bench: Bench) -> None:
        files = bench.send()
        opened, calls = len(bench.source.opened), len(bench.store.calls)
        assert bench.send() == files
        assert (len(bench.source.opened), len(bench.store.calls)) == (opened, calls)

    def test_after_a_restart_everything_is_confirmed_on_disk_and_in_the_store(self, bench: Bench) -> None:
        files = bench.send()
        bench.live()
        bench.source.opened.clear()
        bench.store.calls.clear()
        assert bench.send() == files
        assert sorted(bench.source.opened) == sorted(CONTENTS)
        assert {method for method, _ in bench.store.calls} == {"head"}

    def test_after_an_error_nothing_more_is_begun(self, bench: Bench) -> None:
        bench.store.fail_next("put_part", StoreRefused("no", "denied", "give it the right"), times=9)
        with pytest.raises(StoreRefused):
            bench.send()
        assert bench.store.count("put_part") == 1
        assert bench.store.count("complete_multipart") == 0

    def test_a_lost_answer_to_a_put_is_read_back(self, bench: Bench) -> None:
        bench.store.lose_answer("put", key=SMALL)
        with pytest.raises(StoreUnavailable):
            bench.send()
        bench.send()
        assert bench.store.count("put", SMALL) == 2
        assert bench.store.objects[SMALL_KEY].body == CONTENTS[SMALL]

    def test_other_bytes_under_our_key_are_never_overwritten(self, bench: Bench) -> None:
        bench.store.put(SMALL_KEY, b"a stranger's")
        with pytest.raises(PreconditionFailed) as error:
            bench.send()
        assert SMALL_KEY in error.value.why
        assert error.value.mend
        assert bench.store.objects[SMALL_KEY].body == b"a stranger's"

    def test_a_conflict_with_nothing_there_is_tried_again(self, bench: Bench) -> None:
        bench.store.fail_next("put", PreconditionFailed("409"), key=SMALL)
        with pytest.raises(StoreUnavailable):
            bench.send()
        bench.send()
        assert bench.store.objects[SMALL_KEY].body == CONTENTS[SMALL]

    def test_an_upload_that_expired_is_begun_anew(self, bench: Bench) -> None:
        bench.store.fail_next("put_part", skip=2)
        with pytest.raises(StoreUnavailable):
            bench.send()
        bench.store.uploads.clear()
        bench.send()
        assert bench.store.count("create_multipart") == 2
        assert bench.store.objects[BIG_KEY].body == CONTENTS[BIG]

    def test_an_object_that_vanished_before_the_commit_is_sent_again(self, bench: Bench) -> None:
        bench.send()
        bench.store.objects.clear()
        bench.live()
        bench.send()
        assert len(bench.store.objects) == len(CONTENTS)

    def test_a_disk_error_is_no_change_of_content(self, bench: Bench) -> None:
        # A directory can be opened for reading, and every read of it fails: EISDIR.
        descriptor = os.open(bench.folder, os.O_RDONLY)
        try:
            with pytest.raises(StoreError) as error:
                read_piece(descriptor, Span(1, 0, 10), "m.pt", memoryview(bytearray(10)))
        finally:
            os.close(descriptor)
        assert not error.value.permanent
        assert "kernel's log" in error.value.mend


class TestAborts:
    def test_the_uploads_of_a_dropped_row_are_aborted(self, bench: Bench) -> None:
        bench.store.fail_next("put_part", skip=2)
        with pytest.raises(StoreUnavailable):
            bench.send()
        bench.journal.drop(bench.row.id, "changed")
        bench.uploader.abandon(bench.row)
        assert bench.store.uploads == {}
        assert bench.journal.owed_aborts() == []

    def test_only_our_own_uploads_are(self, bench: Bench) -> None:
        other = bench.store.create_multipart("team/run/data/000001-00000001/other.pt")
        bench.store.fail_next("put_part", skip=2)
        with pytest.raises(StoreUnavailable):
            bench.send()
        bench.uploader.abandon(bench.row)
        assert list(bench.store.uploads) == [other]

    def test_an_abort_that_fails_is_owed_over_a_restart(self, bench: Bench) -> None:
        bench.store.fail_next("put_part", skip=2)
        with pytest.raises(StoreUnavailable):
            bench.send()
        bench.store.fail_next("abort_multipart", StoreRefused("aborting", "denied", "allow s3:AbortMultipartUpload"))
        bench.journal.drop(bench.row.id, "changed")
        bench.uploader.abandon(bench.row)
        bench.live()
        (owed,) = bench.journal.owed_aborts()
        assert (owed.attempts, owed.error) == (1, "aborting: denied")
        assert bench.uploader.settle_aborts() == 1, "not due yet"
        bench.clock.advance(15.0)
        assert bench.uploader.settle_aborts() == 0
        assert bench.store.uploads == {}

    def test_an_owed_abort_is_due_where_the_clock_was_set_back_by_an_hour(self, bench: Bench) -> None:
        bench.store.fail_next("put_part", skip=2)
        with pytest.raises(StoreUnavailable):
            bench.send()
        bench.clock.advance(3600.0)
        bench.store.fail_next("abort_multipart", StoreRefused("aborting", "skewed", "set the clock"))
        bench.journal.drop(bench.row.id, "changed")
        bench.uploader.abandon(bench.row)
        bench.clock.advance(-3600.0)
        assert bench.uploader.settle_aborts() == 0
        assert bench.store.uploads == {}

    def test_a_killed_drop_leaves_no_upload_behind(self, bench: Bench) -> None:
        bench.store.fail_next("put_part", skip=2)
        with pytest.raises(StoreUnavailable):
            bench.send()
        bench.journal.drop(bench.row.id, "changed")
        bench.live()
        assert bench.uploader.settle_aborts() == 0
        assert bench.store.uploads == {}


def test_a_file_that_s3_can_not_hold_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    bench = Bench(str(tmp_path))
    try:
        row = bench.journal.add(staged(finished("huge", size=2**60)), 1.0)
        assert row is not None
        with pytest.raises(StoreRefused):
            Uploader(bench.store, bench.journal, KEYS, bench.clock).send(row, FolderSource(row.staged))
        assert bench.store.calls == []
    finally:
        bench.close()
