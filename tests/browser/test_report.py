"""The report in a real browser: Debian's Chromium, headless, which may reach nothing. `make report-shot` keeps the pictures."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from runctl.past import Past
from runctl.report import report
from runctl.report_page import page
from runctl_agent.contract.phases import Phase
from runctl_agent.contract.status import State
from tests.controller.test_report import HOSTILE, T0, three, told

WIDTH, HEIGHT = 1280, 1500
SHOTS = Path(os.environ.get("RUNCTL_SHOTS", "")) if os.environ.get("RUNCTL_SHOTS") else None
DARK = "--blink-settings=preferredColorScheme=0"


@pytest.fixture(scope="session")
def chromium() -> str:
    if shutil.which("chromium") is None:
        assert shutil.which("apt-get"), "there is no chromium in the PATH, and no apt-get to install it"
        subprocess.run(["apt-get", "-q", "install", "-y", "--no-install-recommends", "chromium"], check=True, capture_output=True)
    return "chromium"


def shot(chromium: str, html: str, folder: Path, name: str, *options: str) -> bytes:
    """The picture. What the page complains about, a request among it, stands in the log: there must be nothing."""
    (folder / f"{name}.html").write_text(html)
    picture = folder / f"{name}.png"
    argv = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder / 'profile'}"]
    argv += ["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", f"--window-size={WIDTH},{HEIGHT}", *options]
    done = subprocess.run(
        [*argv, f"--screenshot={picture}", f"file://{folder / name}.html"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    if SHOTS is not None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, SHOTS)
    return picture.read_bytes()


def colours(png: bytes) -> set[bytes]:
    """Of a picture of eight bits a channel without interlace: the bytes of each row, unfiltered ones aside ("PNG", W3C)."""
    width, height, depth, kind = struct.unpack(">IIBB", png[16:26])
    assert (width, height, depth) == (WIDTH, HEIGHT, 8)
    size = {2: 3, 6: 4}[kind]
    body, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        body += png[at + 8 : at + 8 + length] if png[at + 4 : at + 8] == b"IDAT" else b""
        at += length + 12
    rows, stride = zlib.decompress(body), width * size + 1
    return {rows[n * stride + 1 : n * stride + 1 + size] for n in range(height) if rows[n * stride] in (0, 1)}


def test_light_and_dark(chromium: str, tmp_path: Path) -> None:
    text = page(three(), T0 + 2000)
    light, dark = (shot(chromium, text, tmp_path, name, *options) for name, options in (("light", ()), ("dark", (DARK,))))
    assert b"\xff\xff\xff" in {one[:3] for one in colours(light)}
    assert b"\x15\x18\x1c" in {one[:3] for one in colours(dark)}
    assert min(len(light), len(dark)) > 30_000, "there is something on it"


def test_nothing_hostile_runs(chromium: str, tmp_path: Path) -> None:
    state = State("gpt2", Phase.INTERRUPTED, HOSTILE, 0, 9, T0 + 60, "1", epoch=1)
    moments = told(T0, [1, 2], Phase.INTERRUPTED, notice=HOSTILE)
    shot(chromium, page(report(Past(HOSTILE, {1: moments}, state=state)), T0), tmp_path, "hostile")
