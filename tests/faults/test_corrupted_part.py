"""A body changes on its way: the store's checksum finds it, and it is read and sent again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runctl_agent.errors import BadChecksum
from tests.e2e.proxy import Proxy, corrupt_request
from tests.e2e.seaweed import S3
from tests.e2e.wired import Wired
from tests.fakes.memory_store import StoredObject
from tests.fakes.uploads import BIG, BIG_KEY, CONTENTS, SMALL, SMALL_KEY, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(str(tmp_path))
    yield bench
    bench.close()


@pytest.mark.parametrize("method", ["put", "put_part"])
def test_once(bench: Bench, method: str) -> None:
    bench.store.corrupt_next(method)
    bench.send()
    assert bench.store.objects[BIG_KEY].body == CONTENTS[BIG]
    assert bench.store.objects[SMALL_KEY].body == CONTENTS[SMALL]
    assert bench.clock.slept == [0.5]
    assert bench.journal.totals().sent_bytes == sum(map(len, CONTENTS.values()))


def test_again_and_again_is_an_error_after_the_exact_waits(bench: Bench) -> None:
    bench.store.corrupt_next("put_part", times=4)
    with pytest.raises(BadChecksum):
        bench.send()
    assert bench.clock.slept == [0.5, 1.0, 2.0]
    assert BIG_KEY not in bench.store.objects
    bench.send()
    assert bench.store.objects[BIG_KEY].body == CONTENTS[BIG]


def test_a_part_rots_in_the_store_before_it_is_completed(bench: Bench) -> None:
    def rot(method: str, key: str) -> None:
        if method == "complete_multipart":
            (upload,) = bench.store.uploads.values()
            part = upload.parts[2]
            upload.parts[2] = StoredObject(b"\0" * len(part.body), part.etag, part.crc)

    bench.store.on_call = rot
    with pytest.raises(BadChecksum):
        bench.send()
    assert BIG_KEY not in bench.store.objects
    bench.store.on_call = lambda method, key: None
    bench.send()
    assert bench.store.objects[BIG_KEY].body == CONTENTS[BIG]
    assert bench.uploader.settle_aborts() == 0
    assert bench.store.uploads == {}


def test_the_object_is_not_what_its_parts_were(bench: Bench) -> None:
    def swap(method: str, key: str) -> None:
        if method == "head":
            whole = bench.store.objects[BIG_KEY]
            bench.store.objects[BIG_KEY] = StoredObject(whole.body[:-1], whole.etag, whole.crc)

    bench.store.on_call = swap
    with pytest.raises(BadChecksum) as error:
        bench.send()
    assert BIG_KEY in error.value.why
    bench.store.on_call = lambda method, key: None
    bench.send()
    assert bench.store.objects[BIG_KEY].body == CONTENTS[BIG]


def test_on_a_real_wire(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    """Whatever is sent has a checksum, documents too: each is refused, and sent again as it was."""
    sent = [
        ("UploadPart", "/data/"),
        ("CompleteMultipartUpload", "/data/"),
        ("PutObject", "/data/"),
        ("PutObject", "/manifests/"),
    ]
    sent += [("PutObject", f"/{name}.json") for name in ("epoch", "latest", "status", "probe")]
    proxy.set(*(corrupt_request(operation, key=key, times=2) for operation, key in sent))
    wired = Wired(tmp_path, s3, proxy)
    wired.save(1)
    wired.save(2, size=1000)
    with wired.running() as process:
        wired.durable(process)
        proxy.until(2 * len(sent))
    assert len(proxy.befell()) == 2 * len(sent)
    assert {one.status for one in proxy.befell()} == {400}
    wired.arrived()
