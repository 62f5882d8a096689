"""The real servers, as fixtures; nothing of the machine's own AWS settings reaches a test."""

from __future__ import annotations

import os
import signal
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from runctl_simulator.cloud import Cloud
from tests.e2e.moto_server import moto_server
from tests.e2e.proxy import Proxy, mitmdump
from tests.e2e.runs import Operator
from tests.e2e.seaweed import S3, shared

pytest.register_assert_rewrite("tests.contract.object_suite", "tests.contract.multipart_suite", "tests.contract.store_place")


def pytest_xdist_auto_num_workers() -> int:
    """Half of a worker's time is waiting for the processes and servers that it started."""
    return max(2, round(1.5 * (os.cpu_count() or 1)))


def pytest_configure() -> None:
    # How long an example takes to make says how busy the machine is, and nothing of what is tested.
    settings.register_profile("ours", suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("ours")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background: commands under test would ignore it too
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(
        AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull, AWS_EC2_METADATA_DISABLED="true", NO_PROXY="127.0.0.1"
    )


@pytest.fixture(scope="session")
def _seaweed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    base = tmp_path_factory.getbasetemp()
    with shared((base if worker_id == "master" else base.parent) / "seaweed") as endpoint:
        yield endpoint


@pytest.fixture
def s3(_seaweed: str) -> Iterator[S3]:
    """SeaweedFS: a real S3, which checks checksums, signatures and rights."""
    yield from _place(_seaweed)


@pytest.fixture(scope="session")
def _moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto_server(tmp_path_factory.mktemp("moto")) as endpoint:
        yield endpoint


@pytest.fixture
def moto_s3(_moto: str) -> Iterator[S3]:
    yield from _place(_moto)


@pytest.fixture(scope="session")
def _mitmdump(_seaweed: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with mitmdump(_seaweed, tmp_path_factory.mktemp("mitmdump")) as port:
        yield port


@pytest.fixture
def proxy(_mitmdump: int, s3: S3) -> Iterator[Proxy]:
    """Before `s3`: a wire that does wrong what it is told to."""
    proxy = Proxy(_mitmdump, s3)
    proxy.set(anew=True)
    try:
        yield proxy
    finally:
        proxy.set()


@pytest.fixture(scope="session")
def _cloud(_seaweed: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(tmp_path_factory.mktemp("cloud"), s3_endpoint=_seaweed) as cloud:
        yield cloud


@pytest.fixture
def cloud(_cloud: Cloud) -> Iterator[Cloud]:
    """A simulated EC2 that all tests of a process share: it is as AWS's own again after each."""
    try:
        yield _cloud
    finally:
        _cloud.reset()


@pytest.fixture
def operator(tmp_path: Path, s3: S3, cloud: Cloud) -> Iterator[Operator]:
    folder = tmp_path / "code"
    folder.mkdir()
    operator = Operator(folder, s3, cloud)
    try:
        yield operator
    finally:
        operator.close()


@pytest.fixture
def refused() -> Iterator[str]:
    """An endpoint where nobody listens, nor can begin to."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def _place(endpoint: str) -> Iterator[S3]:
    place = S3(endpoint, f"test/{uuid.uuid4().hex}")
    try:
        yield place
    finally:
        place.close()
