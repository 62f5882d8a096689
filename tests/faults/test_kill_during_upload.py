"""The agent is killed at any call to the store, before it or after its effect; the next life sends only what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runctl_agent import __version__
from tests.e2e.proxy import Proxy, hold
from tests.e2e.seaweed import S3
from tests.e2e.wired import PART as REAL_PART
from tests.e2e.wired import Wired
from tests.fakes.uploads import BIG, BIG_KEY, CONTENTS, KEYS, PART, Bench, Killed

CALLS = 10  # of an upload of CONTENTS that nothing disturbs: create, 2 puts, 4 parts, complete, head; one more is past the end


def kill_at(bench: Bench, call: int, *, after: bool) -> None:
    """End this life at a call; `after`: once the store has done it."""
    seen = 0

    def die(method: str, key: str) -> None:
        nonlocal seen
        seen += 1
        if seen == call:
            raise Killed

    if not after:
        bench.store.on_call = die
        return
    # The store answers, but nobody is there to hear it: the journal never learns.
    for method in ("create_multipart", "put", "put_part", "complete_multipart", "head"):
        original = getattr(bench.store, method)

        def call_then_die(*args: object, _original: object = original, **kwargs: object) -> object:
            assert callable(_original)
            answer = _original(*args, **kwargs)
            die("", "")
            return answer

        setattr(bench.store, method, call_then_die)


def revive(bench: Bench) -> None:
    bench.store.on_call = lambda method, key: None
    for method in ("create_multipart", "put", "put_part", "complete_multipart", "head"):
        vars(bench.store).pop(method, None)
    bench.store.calls.clear()
    bench.live()


@pytest.mark.parametrize("after", [False, True], ids=["before the effect", "after the effect"])
@pytest.mark.parametrize("call", range(1, CALLS))
def test_the_next_life_finishes(tmp_path: Path, call: int, after: bool) -> None:
    bench = Bench(str(tmp_path))
    try:
        kill_at(bench, call, after=after)
        with pytest.raises(Killed):
            bench.send()
        journaled = bench.journal.files(bench.row.id)
        sent = {(part.number) for file in journaled if file.path == BIG for part in file.parts}
        complete = BIG_KEY in bench.store.objects
        revive(bench)
        row = bench.journal.claim(1000.0)
        assert row is not None
        assert row.id == bench.row.id
        files = bench.send()
        assert {path: bench.store.objects[KEYS.absolute(file.object)].body for path, file in files.items()} == CONTENTS
        assert set(bench.store.objects) == {KEYS.absolute(file.object) for file in files.values()}
        assert bench.store.count("put_part") == (0 if complete else 4 - len(sent))
    finally:
        bench.close()


def test_a_killed_and_an_undisturbed_upload_give_the_same_manifest(tmp_path: Path) -> None:
    bench = Bench(str(tmp_path / "killed"))
    calm = Bench(str(tmp_path / "calm"))
    try:
        kill_at(bench, 6, after=False)
        with pytest.raises(Killed):
            bench.send()
        revive(bench)
        assert [(f.path, f.digest, f.crc, f.parts) for f in bench.send().values()] == [
            (f.path, f.digest, f.crc, f.parts) for f in calm.send().values()
        ]
    finally:
        bench.close()
        calm.close()


def test_a_part_that_the_store_lost_is_sent_again(tmp_path: Path) -> None:
    bench = Bench(str(tmp_path))
    try:

        def die(method: str, key: str) -> None:
            if method == "complete_multipart":
                raise Killed

        bench.store.on_call = die
        with pytest.raises(Killed):
            bench.send()
        revive(bench)
        (upload,) = bench.store.uploads.values()
        del upload.parts[1]
        bench.send()
        assert bench.store.objects[BIG_KEY].body == CONTENTS[BIG]
    finally:
        bench.close()


def test_parts_cut_by_another_version_are_sent_anew_and_the_old_upload_is_aborted(tmp_path: Path) -> None:
    bench = Bench(str(tmp_path))
    try:
        old = bench.store.create_multipart(BIG_KEY)
        bench.journal.start_upload(bench.row.id, BIG, BIG_KEY, old, PART // 2)
        bench.send()
        assert bench.store.objects[BIG_KEY].body == CONTENTS[BIG]
        assert list(bench.store.uploads) == [old]
        assert bench.uploader.settle_aborts() == 0
        assert bench.store.uploads == {}
    finally:
        bench.close()


LIVES: dict[str, Callable[[Wired], None]] = {
    "another process": lambda wired: None,
    "another boot": lambda wired: wired.agent.reboot(),
    "another version": lambda wired: wired.agent.upgrade("99.0"),
}


@pytest.mark.parametrize("life", LIVES)
def test_a_real_process_sends_no_more_twice_than_was_in_flight(tmp_path: Path, s3: S3, proxy: Proxy, life: str) -> None:
    wired = Wired(tmp_path, s3, proxy)
    wired.agent.env |= {"RUNCTL_BOOT_ID": "the-first-boot", "RUNCTL_BOOT_TIME": "1700000000"}
    name = wired.save(size=5 * REAL_PART - 1000)  # with the archive's own bytes five parts, the last a little short
    proxy.set(hold("UploadPart", skip=2))
    kill_when_two_are_journaled(wired)
    in_flight = [one for one in proxy.seen("UploadPart") if one.did]
    assert in_flight

    LIVES[life](wired)
    proxy.set()
    with wired.running() as process:
        status = wired.durable(process)
    assert status["agent_version"] == ("99.0" if life == "another version" else __version__)
    assert status["epoch"] == (2 if life == "another boot" else 1)
    sent = [one for one in proxy.seen("UploadPart") if not one.did]
    assert sorted(one.part or 0 for one in sent) == [1, 2, 3, 4, 5], "what the server had was sent again"
    assert sum(one.bytes for one in proxy.seen("UploadPart")) - len(wired.saved[name, name]) <= len(in_flight) * REAL_PART
    assert len(proxy.seen("CreateMultipartUpload")) == 1
    wired.arrived()


def test_a_version_that_cuts_otherwise_begins_anew_and_leaves_nothing_of_the_old(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    wired = Wired(tmp_path, s3, proxy)
    wired.save(size=5 * REAL_PART - 1000)
    proxy.set(hold("UploadPart", skip=2))
    kill_when_two_are_journaled(wired)
    wired.agent.upgrade("99.0", part=2 * REAL_PART)
    proxy.set(anew=True)
    with wired.running() as process:
        wired.durable(process)
        wired.agent.wait_for(lambda status: wired.uploads() == [], process)
    assert sorted(one.part or 0 for one in proxy.seen("UploadPart")) == [1, 2, 3]
    wired.arrived()


def kill_when_two_are_journaled(wired: Wired) -> None:
    doomed = wired.agent.start()
    (size,) = map(len, wired.saved.values())
    wired.agent.wait_for(
        lambda status: 0 < status.get("pending_bytes", 0) <= size - 2 * REAL_PART + 1000 and bool(wired.proxy.befell()), doomed
    )
    doomed.kill()
    doomed.wait()
