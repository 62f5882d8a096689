"""The textfile as node_exporter passes it on."""

from __future__ import annotations

import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from runctl_agent.metrics import exposition, textfile
from runctl_agent.publish import write_atomically
from tests.contract.test_status import EXAMPLE
from tests.metrics.tools import tool
from tests.unit.test_metrics import Series, read


class Exporter:
    """node_exporter with nothing but its textfile collector."""

    def __init__(self, directory: Path, log: Path) -> None:
        self._log = log
        command = [
            tool("prometheus-node-exporter"),
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={directory}",
            "--web.listen-address=127.0.0.1:0",
            "--web.disable-exporter-metrics",
        ]
        with log.open("wb") as said:
            self.process = subprocess.Popen(command, stdout=said, stderr=said)

    def scrape(self) -> dict[Series, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port()}/metrics", timeout=30) as answer:
            return read(answer.read().decode())

    def _port(self) -> str:
        end = time.monotonic() + 60
        while not (found := re.search(r"address=127\.0\.0\.1:(\d+)", self._log.read_text())):
            assert self.process.poll() is None, self._log.read_text()
            assert time.monotonic() < end, self._log.read_text()
            time.sleep(0.05)
        return found[1]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "textfile").mkdir()
    return tmp_path / "textfile"


@pytest.fixture
def exporter(directory: Path, tmp_path: Path) -> Iterator[Exporter]:
    found = Exporter(directory, tmp_path / "exporter.log")
    yield found
    found.process.terminate()
    found.process.wait(30)


def test_every_series_comes_through_as_it_was_written(directory: Path, exporter: Exporter) -> None:
    textfile(str(directory / "runctl.prom"), write_atomically)(EXAMPLE)
    scraped = exporter.scrape()
    assert {series: number for series, number in scraped.items() if series[0].startswith("runctl_")} == read(exposition(EXAMPLE))
    assert scraped["node_textfile_scrape_error", ()] == 0


def test_what_is_being_written_is_not_read(directory: Path, exporter: Exporter) -> None:
    (directory / "runctl.prom.tmp").write_text(exposition(EXAMPLE)[:1000])
    scraped = exporter.scrape()
    assert not [series for series in scraped if series[0].startswith("runctl_")]
    assert scraped["node_textfile_scrape_error", ()] == 0


def test_half_a_file_would_be_seen(directory: Path, exporter: Exporter) -> None:
    (directory / "runctl.prom").write_text(exposition(EXAMPLE)[:1000])
    assert exporter.scrape()["node_textfile_scrape_error", ()] == 1
