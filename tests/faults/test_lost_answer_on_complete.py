"""CompleteMultipartUpload's answer is lost: a HEAD tells whether it happened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runctl_agent.errors import StoreUnavailable
from tests.e2e.proxy import Proxy, lose
from tests.e2e.seaweed import S3
from tests.e2e.wired import Wired
from tests.fakes.uploads import BIG, BIG_KEY, CONTENTS, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(str(tmp_path))
    yield bench
    bench.close()


def test_it_happened(bench: Bench) -> None:
    bench.store.lose_answer("complete_multipart")
    bench.send()
    assert bench.store.objects[BIG_KEY].body == CONTENTS[BIG]
    assert bench.store.count("complete_multipart") == 1
    assert bench.store.count("create_multipart") == 1


def test_it_happened_and_the_head_is_lost_too(bench: Bench) -> None:
    bench.store.lose_answer("complete_multipart")
    bench.store.fail_next("head")
    with pytest.raises(StoreUnavailable):
        bench.send()
    bench.live()
    bench.send()
    assert bench.store.count("put_part") == 4
    assert bench.store.count("create_multipart") == 1


def test_it_did_not_happen_and_the_upload_still_stands(bench: Bench) -> None:
    bench.store.fail_next("complete_multipart")
    with pytest.raises(StoreUnavailable):
        bench.send()
    assert BIG_KEY not in bench.store.objects
    bench.live()
    bench.send()
    assert bench.store.objects[BIG_KEY].body == CONTENTS[BIG]
    assert bench.store.count("put_part") == 4


def test_it_did_not_happen_and_the_upload_is_gone(bench: Bench) -> None:
    bench.store.fail_next("complete_multipart")
    with pytest.raises(StoreUnavailable):
        bench.send()
    bench.store.uploads.clear()
    bench.send()
    assert bench.store.objects[BIG_KEY].body == CONTENTS[BIG]
    assert bench.store.count("create_multipart") == 2
    assert bench.store.count("put_part") == 8


def test_it_happens_late_after_the_file_was_sent_anew(bench: Bench) -> None:
    bench.store.delay_next("complete_multipart")
    with pytest.raises(StoreUnavailable):
        bench.send()
    bench.send()
    bench.store.land_late()
    assert bench.store.objects[BIG_KEY].body == CONTENTS[BIG]
    assert bench.store.uploads == {}


def test_what_stands_there_has_the_right_size_and_other_bytes(bench: Bench) -> None:
    bench.store.fail_next("complete_multipart")
    with pytest.raises(StoreUnavailable):
        bench.send()
    bench.store.put(BIG_KEY, bytes(len(CONTENTS[BIG])))
    bench.store.uploads.clear()
    bench.send()
    assert bench.store.objects[BIG_KEY].body == CONTENTS[BIG]


def test_over_a_real_connection(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    """Every answer is lost, to each of the client's own tries; from the second on the server knows the upload no more."""
    proxy.set(lose("CompleteMultipartUpload"))
    wired = Wired(tmp_path, s3, proxy)
    wired.save()
    with wired.running() as process:
        wired.durable(process)
    assert proxy.befell()[0].status == 200
    assert (len(proxy.seen("CreateMultipartUpload")), len(proxy.seen("UploadPart"))) == (1, 2)
    wired.arrived()
