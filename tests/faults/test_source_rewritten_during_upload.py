"""The trainer rewrites, cuts or removes a file while it is being sent: no manifest entry is made of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runctl_agent.errors import SourceChanged, StoreUnavailable
from runctl_agent.store.progress import PartProgress
from tests.fakes.uploads import BIG, BIG_KEY, CONTENTS, PART, SMALL, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(str(tmp_path))
    yield bench
    bench.close()


def when(bench: Bench, method: str, change: Callable[[], None]) -> None:
    """Do `change` once, at the first call of `method` for the big file."""
    done: list[str] = []

    def hook(called: str, key: str) -> None:
        if called == method and key == BIG_KEY and not done:
            done.append(called)
            change()

    bench.store.on_call = hook


def overwrite(path: str, offset: int) -> None:
    """In place, as torch.save does: the same inode, another mtime."""
    before = os.stat(path)
    with open(path, "r+b") as stream:
        stream.seek(offset)
        stream.write(b"rewritten")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10_000_000))


@pytest.mark.parametrize("method", ["create_multipart", "put_part", "complete_multipart", "head"])
@pytest.mark.parametrize("name", [BIG, SMALL])
def test_rewritten_in_place(bench: Bench, method: str, name: str) -> None:
    when(bench, method, lambda: overwrite(bench.path(name), 0))
    with pytest.raises(SourceChanged):
        bench.send()


def test_cut_short_between_the_open_and_the_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = bench.source.open

    def open_and_cut(path: str) -> int:
        descriptor = opened(path)
        os.truncate(bench.path(BIG), PART // 2)
        return descriptor

    monkeypatch.setattr(bench.source, "open", open_and_cut)
    with pytest.raises(SourceChanged) as error:
        bench.send()
    assert "ends at 512 now" in error.value.why
    assert bench.store.objects.get(BIG_KEY) is None


def test_the_new_content_goes_under_a_new_seq_and_nothing_is_left_of_the_old(bench: Bench) -> None:
    when(bench, "complete_multipart", lambda: overwrite(bench.path(BIG), 0))
    with pytest.raises(SourceChanged):
        bench.send()
    bench.journal.drop(bench.row.id, "changed")
    bench.uploader.abandon(bench.row)
    bench.store.on_call = lambda method, key: None
    body = b"new" * PART
    bench.add({BIG: body})
    files = bench.send()
    assert files[BIG].object == f"data/000007-00000002/checkpoint-5/{BIG}"
    assert bench.store.objects[f"team/run/{files[BIG].object}"].body == body
    assert bench.store.uploads == {}
    assert bench.journal.owed_aborts() == []


@pytest.mark.parametrize(("name", "offset"), [(BIG, 0), (BIG, PART + 5), (SMALL, 0)])
def test_other_bytes_under_the_same_identity_after_a_power_loss(bench: Bench, name: str, offset: int) -> None:
    bench.store.fail_next("put_part", skip=3)
    with pytest.raises(StoreUnavailable):
        bench.send()
    before = os.stat(bench.path(name))
    overwrite(bench.path(name), offset)
    os.utime(bench.path(name), ns=(before.st_atime_ns, before.st_mtime_ns))
    bench.live()
    if name == SMALL:
        bench.store.on_call = lambda method, key: None
        bench.journal.put_done(
            bench.row.id,
            SMALL,
            f"{BIG_KEY.removesuffix(BIG)}{SMALL}",
            PART,
            PartProgress(1, len(CONTENTS[SMALL]), "", 0, ("00",)),
        )
    with pytest.raises(SourceChanged) as error:
        bench.send()
    assert "before the restart" in error.value.why
