"""What the journal remembers, hands out once, and lets go of."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from runctl_agent.contract.manifest import Rank
from runctl_agent.errors import JournalError
from runctl_agent.records import FileEntry, FileId, Finished
from runctl_agent.runtime import ThreadRuntime, run_pool
from runctl_agent.store.journal import HeldEpoch, Journal, Row
from runctl_agent.store.piece import Frame
from runctl_agent.store.progress import PartProgress
from runctl_agent.store.rows import Newest, RowState, decode_staged, encode_staged
from tests.fakes.staged_files import finished, staged

EPOCH = HeldEpoch(7, "a" * 32, 4, 50.0)
Open = Callable[..., Journal]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    journals: list[Journal] = []

    def opener(owner: str = "daemon", alive: Callable[[str], bool] = lambda owner: True) -> Journal:
        journals.append(Journal(str(tmp_path / "journal.db"), owner=owner, alive=alive))
        return journals[-1]

    yield opener
    for journal in journals:
        journal.close()


@pytest.fixture
def journal(opened: Open) -> Journal:
    journal = opened()
    journal.take_epoch(EPOCH, [])
    return journal


def add(journal: Journal, done: Finished) -> Row:
    row = journal.add(staged(done), done.at)
    assert row is not None
    return row


def names(rows: list[Row] | tuple[Row, ...]) -> list[str]:
    return [row.staged.finished.name for row in rows]


def rewritten(times: int) -> Iterator[Finished]:
    for inode in range(1, times + 1):
        yield finished("last.pt", inode=inode, at=float(inode))


class TestFacts:
    def test_what_was_put_is_there_for_the_next_life(self, opened: Open) -> None:
        opened().put("want", "n1")
        opened().put("want", "n2")
        assert opened().get("want") == "n2"
        assert opened().get("other") is None

    def test_any_string_survives(self, journal: Journal) -> None:
        journal.put("error", "caf\udce9 \ud800 \0 €")
        assert journal.get("error") == "caf\udce9 \ud800 \0 €"

    def test_the_files_are_the_owners_alone(self, journal: Journal, tmp_path: Path) -> None:
        journal.put("a", "b")
        for entry in os.scandir(tmp_path):
            assert stat.S_IMODE(entry.stat().st_mode) == 0o600, entry.name
        assert not journal.recreated


class TestStaged:
    @pytest.mark.parametrize("name", ["last.pt", "caf\udce9", "n" * 255, "a\nb", "\U0001f600"])
    def test_a_snapshot_survives_the_journal(self, name: str) -> None:
        entry = FileEntry(name, FileId(2**63, 2**64 - 1, 2**62, -5))
        whole = staged(dataclasses.replace(finished(name), step=10**30, files=(entry, entry)))
        assert decode_staged(encode_staged(whole)) == whole

    @pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"root": 1}'])
    def test_garbage_is_an_error_of_three_parts(self, text: str) -> None:
        with pytest.raises(JournalError) as error:
            decode_staged(text)
        assert all((error.value.what, error.value.why, error.value.mend))

    def test_rows_with_names_that_are_not_utf8(self, opened: Open, journal: Journal) -> None:
        odd = dataclasses.replace(finished("caf\udce9.pt"), root="/w\udcff", step=10**30)
        row = add(journal, odd)
        assert opened("flush").known() == {("/w\udcff", "caf\udce9.pt"): odd.signature}
        journal.committed(row.id, "manifests/x.json", 1.0)
        newest = journal.totals().newest
        assert newest is not None
        assert (newest.checkpoint, newest.step) == ("caf\udce9.pt", 10**30)

    def test_sizes_beyond_sixty_four_bits_are_summed(self, journal: Journal) -> None:
        for inode in (1, 2, 3):
            add(journal, finished(f"sparse-{inode}", inode=inode, size=2**63 - 1))
        assert journal.pending().bytes == 3 * (2**63 - 1)


class TestAdd:
    def test_the_same_content_is_journaled_once(self, opened: Open, journal: Journal) -> None:
        assert journal.add(staged(finished()), 1.0) is not None
        assert journal.add(staged(finished()), 2.0) is None
        assert opened("flush").add(staged(finished()), 2.0) is None
        assert len(journal.pending().rows) == 1

    def test_nor_again_once_it_is_committed(self, journal: Journal) -> None:
        journal.committed(add(journal, finished()).id, "m", 1.0)
        assert journal.add(staged(finished()), 2.0) is None

    def test_new_content_under_the_name_is_a_row_of_its_own(self, journal: Journal) -> None:
        rows = [add(journal, done) for done in rewritten(3)]
        assert [row.seq for row in rows] == [1, 2, 3]
        assert journal.known() == {("/w", "last.pt"): rows[-1].staged.finished.signature}

    def test_the_same_name_in_another_directory_is_another(self, journal: Journal) -> None:
        add(journal, finished(root="/a"))
        add(journal, finished(root="/b"))
        assert set(journal.known()) == {("/a", "checkpoint-5"), ("/b", "checkpoint-5")}

    def test_a_new_row_is_staged_and_was_never_tried(self, journal: Journal) -> None:
        row = add(journal, finished())
        assert (row.epoch, row.seq, row.rank_epoch) == (7, 1, 7)
        assert (row.state, row.attempts, row.next_try, row.error) == (RowState.STAGED, 0, 0.0, "")


class TestEpoch:
    def test_none_is_held_at_first(self, opened: Open) -> None:
        assert opened().epoch() is None

    def test_it_is_kept_over_a_restart_and_seq_goes_on(self, opened: Open, journal: Journal) -> None:
        add(journal, finished("a"))
        again = opened()
        assert again.epoch() == EPOCH
        assert add(again, finished("b")).seq == 2

    def test_what_was_staged_before_ranks_with_the_backlog_in_the_order_of_staging(self, opened: Open) -> None:
        journal = opened()
        first, second = add(journal, finished("late", at=9.0)), add(journal, finished("early", at=1.0))
        assert (first.epoch, first.seq, first.rank_epoch) == (None, None, None)
        assert journal.claim(100.0) is None
        journal.take_epoch(EPOCH, [])
        rows = {row.id: row for row in journal.pending().rows}
        assert [(rows[i].epoch, rows[i].seq, rows[i].rank_epoch) for i in (first.id, second.id)] == [(7, 1, 4), (7, 2, 4)]

    def test_the_recorded_backlog_ranks_lower_and_other_content_does_not(self, opened: Open) -> None:
        journal = opened()
        on_disk = finished("old")
        journal.take_epoch(EPOCH, [("/w", "old", on_disk.signature)])
        assert add(opened(), on_disk).rank_epoch == 4
        assert add(journal, finished("old", inode=2)).rank_epoch == 7

    def test_what_was_backlog_before_keeps_its_rank_in_the_next_epoch(self, opened: Open) -> None:
        on_disk, newer = finished("old"), finished("newer")
        opened().take_epoch(EPOCH, [("/w", "old", on_disk.signature)])
        both = [("/w", "old", on_disk.signature), ("/w", "newer", newer.signature)]
        opened().take_epoch(HeldEpoch(9, "b" * 32, 7, 60.0), both)
        assert [add(opened(), one).rank_epoch for one in (on_disk, newer)] == [4, 7]

    def test_a_new_epoch_has_a_new_backlog_and_counts_from_one(self, journal: Journal) -> None:
        old = finished("old")
        add(journal, finished("sent"))
        journal.take_epoch(HeldEpoch(8, "b" * 32, 7, 60.0), [("/w", "other", "x" * 64)])
        row = add(journal, old)
        assert (row.epoch, row.seq, row.rank_epoch) == (8, 1, 8)

    def test_rows_keep_the_epoch_they_have(self, journal: Journal) -> None:
        row = add(journal, finished())
        journal.take_epoch(HeldEpoch(8, "b" * 32, 7, 60.0), [("/w", "checkpoint-5", finished().signature)])
        claimed = journal.claim(1000.0)
        assert claimed is not None
        assert (claimed.id, claimed.epoch, claimed.seq, claimed.rank_epoch) == (row.id, 7, 1, 7)

    def test_taking_the_same_one_again_repeats_no_seq(self, journal: Journal) -> None:
        add(journal, finished("a"))
        journal.take_epoch(EPOCH, [])
        assert add(journal, finished("b")).seq == 2

    def test_a_burnt_seq_is_never_used_again(self, journal: Journal) -> None:
        row = add(journal, finished())
        journal.drop(row.id, "changed")
        again = add(journal, finished())
        assert (row.seq, again.seq) == (1, 2)


class TestClaim:
    def test_newest_first_and_each_once(self, journal: Journal) -> None:
        for name, at in (("b", 2.0), ("c", 3.0), ("a", 1.0)):
            add(journal, finished(name, at=at))
        claimed = [journal.claim(10.0) for _ in range(4)]
        assert [row and row.staged.finished.name for row in claimed] == ["c", "b", "a", None]

    def test_of_two_that_finished_together_the_one_staged_later(self, journal: Journal) -> None:
        add(journal, finished("a"))
        add(journal, finished("b"))
        row = journal.claim(1000.0)
        assert row is not None
        assert row.staged.finished.name == "b"

    def test_complete_ones_go_before_a_newer_incomplete_one(self, journal: Journal) -> None:
        add(journal, finished("whole", at=1.0))
        add(journal, finished("half", at=2.0, complete=False))
        assert names([row for row in (journal.claim(10.0), journal.claim(10.0)) if row]) == ["whole", "half"]

    def test_two_processes_never_get_the_same(self, opened: Open, journal: Journal) -> None:
        add(journal, finished())
        assert opened("flush").claim(1000.0) is not None
        assert journal.claim(1000.0) is None

    def test_many_tasks_of_two_processes_get_each_row_once(self, opened: Open, journal: Journal) -> None:
        for inode in range(1, 31):
            add(journal, finished(f"c{inode}", inode=inode))
        claimed: list[int] = []

        def work(mine: Journal) -> None:
            while (row := mine.claim(1000.0)) is not None:
                claimed.append(row.id)

        rival = opened("flush")
        run_pool(ThreadRuntime(), "claim", 4, work, [journal, journal, rival, rival])
        assert sorted(claimed) == list(range(1, 31))

    def test_a_dead_owners_claim_is_void(self, opened: Open, journal: Journal) -> None:
        row = add(journal, finished())
        assert opened("dead").claim(1000.0) is not None
        heir = opened("heir", lambda owner: owner != "dead")
        taken = heir.claim(1000.0)
        assert taken is not None
        assert taken.id == row.id
        assert journal.claim(1000.0) is None

    def test_a_claim_made_while_the_living_are_asked_for_counts(self, opened: Open, journal: Journal) -> None:
        first = add(journal, finished("a", at=1.0))
        assert opened("dead").claim(1000.0) is not None
        second = add(journal, finished("b", at=2.0))
        rival = opened("rival")

        def alive(owner: str) -> bool:
            claimed = rival.claim(1000.0)
            assert claimed is not None
            assert claimed.id == second.id
            return owner != "dead"

        taken = opened("me", alive).claim(1000.0)
        assert taken is not None
        assert taken.id == first.id

    def test_a_released_row_waits_for_its_next_try(self, journal: Journal) -> None:
        row = add(journal, finished())
        journal.claim(1000.0)
        journal.release(row.id, error="no answer for caf\udce9", next_try=1030.0)
        assert journal.claim(1029.9) is None
        again = journal.claim(1030.0)
        assert again is not None
        assert (again.attempts, again.error) == (1, "no answer for caf\udce9")

    def test_it_is_due_where_the_clock_was_set_back_by_an_hour(self, journal: Journal) -> None:
        row = add(journal, finished())
        journal.claim(4600.0)
        journal.release(row.id, error="RequestTimeTooSkewed", next_try=4630.0)
        assert journal.claim(1000.0) is not None

    def test_nobody_releases_anothers_claim(self, opened: Open, journal: Journal) -> None:
        row = add(journal, finished())
        opened("flush").claim(1000.0)
        journal.release(row.id, error="late", next_try=0.0)
        assert journal.claim(1000.0) is None


class TestDrop:
    def test_it_is_forgotten_so_that_the_content_may_come_again(self, journal: Journal) -> None:
        row = add(journal, finished())
        journal.drop(row.id, "changed")
        assert journal.known() == {}
        assert journal.pending().rows == ()
        assert journal.claim(1000.0) is None
        assert journal.add(staged(finished()), 2.0) is not None

    def test_what_was_committed_under_the_name_before_is_known_again(self, journal: Journal) -> None:
        first, second = (add(journal, done) for done in rewritten(2))
        journal.committed(first.id, "m", 1.0)
        journal.drop(second.id, "changed")
        assert journal.known() == {("/w", "last.pt"): first.staged.finished.signature}

    def test_a_committed_row_can_not_be_dropped(self, journal: Journal) -> None:
        row = add(journal, finished())
        journal.committed(row.id, "m", 1.0)
        journal.drop(row.id, "late")
        assert journal.known() != {}

    def test_its_open_uploads_are_owed_an_abort_and_its_finished_ones_are_not(self, opened: Open, journal: Journal) -> None:
        row = add(journal, finished())
        journal.start_upload(row.id, "open.pt", "k1", "u1", 8)
        journal.start_upload(row.id, "done.pt", "k2", "u2", 8)
        journal.part_done(row.id, "done.pt", "u2", PartProgress(1, 4, "e", 1, ("00",)))
        journal.completed(row.id, "done.pt", "u2")
        journal.put_done(row.id, "small.pt", "k3", 8, PartProgress(1, 4, "e", 1, ("00",)))
        journal.drop(row.id, "changed")
        assert [(owed.key, owed.upload_id) for owed in opened().owed_aborts()] == [("k1", "u1")]
        assert journal.files(row.id) == []

    def test_letting_go_spares_what_is_being_sent(self, opened: Open, journal: Journal) -> None:
        row = add(journal, finished())
        opened("flush").claim(1000.0)
        assert not journal.let_go(row.id, "disk short")
        assert len(journal.pending().rows) == 1
        assert opened("other", lambda owner: False).let_go(row.id, "disk short")
        assert not journal.let_go(row.id, "twice")
        assert journal.pending().rows == ()


class TestProgress:
    PART = PartProgress(1, 8, "e1", 17, ("ab", "cd"), (Frame(5, 1), Frame(3, 2)))

    def test_parts_survive_a_restart(self, opened: Open, journal: Journal) -> None:
        row = add(journal, finished())
        journal.start_upload(row.id, "caf\udce9.pt", "k", "u", 8)
        journal.part_done(row.id, "caf\udce9.pt", "u", self.PART)
        (progress,) = opened().files(row.id)
        assert (progress.path, progress.key, progress.upload_id, progress.part_size) == ("caf\udce9.pt", "k", "u", 8)
        assert (progress.done, progress.parts) == (False, (self.PART,))
        assert (progress.encoding, progress.sampled) == ("identity", None)

    def test_a_completed_upload_is_done_and_no_other_is(self, opened: Open, journal: Journal) -> None:
        row = add(journal, finished())
        journal.start_upload(row.id, "a.pt", "k.zst", "u", 8, "zstd", 1.5)
        journal.part_done(row.id, "a.pt", "u", self.PART)
        with pytest.raises(JournalError):
            journal.completed(row.id, "a.pt", "another")
        assert not opened().files(row.id)[0].done
        journal.completed(row.id, "a.pt", "u")
        (progress,) = opened().files(row.id)
        assert (progress.done, progress.encoding, progress.sampled, progress.parts) == (True, "zstd", 1.5, (self.PART,))

    def test_what_is_copied_is_not_counted_as_sent(self, journal: Journal) -> None:
        row = add(journal, finished(size=10))
        journal.start_upload(row.id, "model.pt", "k", "u", 8)
        journal.part_done(row.id, "model.pt", "u", replace(self.PART, copied=True))
        assert (journal.totals().sent_bytes, journal.pending().bytes) == (0, 2)
        assert journal.files(row.id)[0].parts[0].copied

    def test_a_part_of_an_upload_given_up_is_refused(self, journal: Journal) -> None:
        row = add(journal, finished())
        with pytest.raises(JournalError):
            journal.part_done(row.id, "a.pt", "u", self.PART)
        journal.start_upload(row.id, "a.pt", "k", "u2", 8)
        with pytest.raises(JournalError):
            journal.part_done(row.id, "a.pt", "u", self.PART)
        assert journal.files(row.id)[0].parts == ()
        assert journal.totals().sent_bytes == 0

    def test_a_new_upload_takes_the_place_of_the_old_one_which_is_owed_an_abort(self, journal: Journal) -> None:
        row = add(journal, finished())
        journal.start_upload(row.id, "a.pt", "k", "u", 8)
        journal.part_done(row.id, "a.pt", "u", self.PART)
        journal.start_upload(row.id, "a.pt", "k", "u2", 8)
        assert journal.files(row.id)[0].parts == ()
        (owed,) = journal.owed_aborts(row.id)
        assert owed.upload_id == "u"
        journal.abort_failed(owed, error="denied", next_try=9.0)
        assert [(o.attempts, o.error, o.next_try) for o in journal.owed_aborts()] == [(1, "denied", 9.0)]
        journal.abort_done(owed)
        assert journal.owed_aborts() == []

    def test_a_part_sent_twice_is_one_part_and_counts_as_sent_twice(self, journal: Journal) -> None:
        row = add(journal, finished(size=10))
        journal.start_upload(row.id, "model.pt", "k", "u", 8)
        journal.part_done(row.id, "model.pt", "u", self.PART)
        journal.part_done(row.id, "model.pt", "u", self.PART)
        assert len(journal.files(row.id)[0].parts) == 1
        assert journal.totals().sent_bytes == 16
        assert journal.pending().bytes == 2


class TestSums:
    def test_nothing_is_pending_at_first(self, journal: Journal) -> None:
        pending = journal.pending()
        assert (pending.checkpoints, pending.bytes, pending.oldest_at, pending.rows) == (0, 0, None, ())

    def test_what_is_behind_leaves_out_what_was_sent(self, journal: Journal) -> None:
        first = add(journal, finished("a", at=1.0, size=100))
        add(journal, finished("b", at=2.0, size=50))
        journal.put_done(first.id, "model.pt", "k", 100, PartProgress(1, 30, "e", 1, ("00",)))
        pending = journal.pending()
        assert (pending.checkpoints, pending.bytes, pending.oldest_at) == (2, 120, 1.0)
        assert names(pending.rows) == ["b", "a"]
        journal.committed(first.id, "m", 3.0)
        assert (journal.pending().checkpoints, journal.pending().bytes) == (1, 50)

    def test_totals_count_each_commit_once_and_start_anew_with_an_epoch(self, journal: Journal) -> None:
        row = add(journal, finished())
        journal.committed(row.id, "m", 3.0)
        journal.committed(row.id, "m", 4.0)
        assert journal.totals().commits == 1
        journal.take_epoch(HeldEpoch(8, "b" * 32, 7, 60.0), [])
        assert journal.totals().commits == 0

    def test_the_newest_is_the_highest_rank_that_is_complete(self, journal: Journal) -> None:
        order = [
            finished("step-9", step=9),
            finished("step-5", step=5),
            finished("config.json", step=99, weights=False),
            finished("half", step=100, complete=False),
        ]
        for at, done in enumerate(order):
            journal.committed(add(journal, done).id, f"m/{done.name}", float(at))
        assert journal.totals().newest == Newest("step-9", 9, Rank(True, 7, 9, 1), 0.0, "m/step-9")


class TestSuperseded:
    def test_all_but_the_newest_complete_one_oldest_first(self, journal: Journal) -> None:
        for name, at in (("c", 3.0), ("a", 1.0), ("b", 2.0)):
            add(journal, finished(name, at=at))
        add(journal, finished("half", at=4.0, complete=False))
        assert names(journal.superseded()) == ["a", "b", "half"]

    def test_each_watched_directory_keeps_its_own(self, journal: Journal) -> None:
        add(journal, finished("a", root="/a", at=1.0))
        add(journal, finished("b", root="/b", at=2.0))
        assert journal.superseded() == []

    def test_a_lone_json_supersedes_no_weights(self, journal: Journal) -> None:
        add(journal, finished("last.pt", at=1.0))
        add(journal, finished("args.json", at=2.0, weights=False))
        assert names(journal.superseded()) == ["args.json"]

    def test_once_the_newest_is_committed_the_older_ones_are_all_superseded(self, journal: Journal) -> None:
        add(journal, finished("a", at=1.0))
        journal.committed(add(journal, finished("b", at=2.0)).id, "m", 3.0)
        assert names(journal.superseded()) == ["a"]

    def test_what_is_being_sent_is_left_alone(self, opened: Open, journal: Journal) -> None:
        add(journal, finished("a", at=1.0))
        opened("flush").claim(1000.0)
        add(journal, finished("b", at=2.0))
        assert journal.superseded() == []


class TestMonths:
    def test_a_file_rewritten_for_months_leaves_one_row(self, journal: Journal, tmp_path: Path) -> None:
        for done in rewritten(45):
            row = add(journal, done)
            if done.files[0].id.inode % 3:
                journal.committed(row.id, "m", done.at)
            else:
                journal.drop(row.id, "changed")
        with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
            left = connection.execute("SELECT state, count(*) FROM rows GROUP BY state ORDER BY state").fetchall()
            snapshots = connection.execute("SELECT count(*) FROM snapshots").fetchone()
        assert left == [("committed", 1), ("dropped", 1)]
        assert snapshots == (0,)
        assert add(journal, finished("last.pt", inode=46)).seq == 46
