"""`runctl-demo` as a user has it: a process of its own, which shows what it promises and leaves nothing behind."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.readme import assert_shown

BIN = Path(sys.executable).parent
ACTS = (
    "1. A small cloud",
    "2. Launch",
    "3. A notice",
    "4. The machine is lost",
    "5. The end",
    "6. Compare",
    "7. What was checked",
)
PATIENCE = 240


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[Path]:
    """Where the demo makes its folder; whatever of it still runs after the test, runs no more."""
    folder = tmp_path / "tmp of 'mine'"
    folder.mkdir()
    try:
        yield folder
    finally:
        for pid in alive(folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def alive(folder: Path) -> list[int]:
    """Processes that have to do with what lies in `folder`, by command line, environment or where they are."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if (
                not entry.name.isdigit()
                or int(entry.name) == os.getpid()
                or (entry / "stat").read_text().rpartition(")")[2][1] == "Z"
            ):
                continue
            told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes() + os.readlink(entry / "cwd").encode()
            if str(folder).encode() in told:
                found.append(int(entry.name))
    return found


def demo(
    temporary: Path, *arguments: str, program: str = "from runctl_simulator.demo import main; main()"
) -> subprocess.Popen[str]:
    """Not `program`, but the entry point, unless something is to go wrong."""
    env = {**os.environ, "TMPDIR": str(temporary), "AWS_PROFILE": "no-such-profile", "HTTP_PROXY": "http://127.0.0.1:9"}
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )


def finished(process: subprocess.Popen[str], code: int = 0) -> str:
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, said
    return said


def test_all_of_it_is_true_and_nothing_is_left(temporary: Path) -> None:
    said = finished(demo(temporary))
    assert_shown(said)
    assert [act for act in ACTS if re.search(rf"^ *[\d.]+s  {re.escape(act)}$", said, re.MULTILINE)] == list(ACTS)
    durable = [int(step) for step in re.findall(r"step +(\d+)  loss [\d.]+  .* safe in S3 after \d+ ms", said)]
    assert set(range(10, 201, 10)) <= set(durable)
    newest, resumed = (re.findall(rf"{words} step (\d+)", said) for words in ("newest checkpoint in S3 is of", "goes on from"))
    assert len(newest) == 2
    assert newest == resumed
    last = re.search(r"has ended, after step (\d+), with the machine still up", said)
    assert last is not None
    assert (last[1], said.count("No step is lost.")) == (newest[0], 1)
    assert len(set(re.findall(r"\bi-[0-9a-f]{17}\b", said))) == 3
    assert len(set(re.findall(r"SHA-256 ([0-9a-f]{64})", said))) == 1
    assert said.count("✓") == 7
    assert "✗" not in said
    assert "\033" not in said
    assert "Traceback" not in said
    assert list(temporary.iterdir()) == []
    assert alive(temporary) == []


def test_what_is_kept_can_be_used_and_ended(temporary: Path) -> None:
    said = finished(demo(temporary, "--keep"))
    *_, after = said.partition("It is kept")
    enter, *commands, leave = re.findall(r"^ *[\d.]+s  \$ (.*)$", after, re.MULTILINE)
    (folder,) = temporary.iterdir()
    assert shlex.split(enter) == [".", str(folder / "env.sh")]
    assert shlex.split(leave) == ["runctl-demo", "--end", str(folder)]
    assert [shlex.split(command)[:2][-1] for command in commands] == ["list", "status", "checkpoints", "pull", "terminate"]
    told = {command: shell(f"{enter}\n{command}", temporary) for command in commands}
    assert "finished" in told["runctl list"]
    assert "finished, exit code 0" in told["runctl status demo"]
    assert told["runctl checkpoints demo"].count("model_step_") >= 20
    assert (folder / "older" / "model_step_30.safetensors").exists()
    assert (folder / "cloud" / "simulator.log").exists()
    assert alive(folder) != []
    shell(f"{enter}\n{leave}", temporary)
    assert list(temporary.iterdir()) == []
    assert alive(temporary) == []


def shell(script: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-ec", script], cwd=folder.parent, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("at", "number", "arguments"),
    [
        ("1. A small cloud", signal.SIGINT, ()),
        ("safe in S3 after", signal.SIGINT, ("--keep",)),
        ("$ runctl wait demo --every", signal.SIGTERM, ()),
    ],
    ids=["in the beginning", "while it is trained", "after the loss"],
)
def test_ended_from_outside_it_leaves_nothing(
    temporary: Path, at: str, number: signal.Signals, arguments: tuple[str, ...]
) -> None:
    process = demo(temporary, *arguments)
    assert process.stdout is not None
    for line in process.stdout:
        if at in line:
            break
    wait_for(lambda: len(alive(temporary)) > 1)  # the cloud, which just starts in the first case
    process.send_signal(number)
    said = finished(process, 128 + number)
    assert f"ended by {number.name}" in said
    assert "Traceback" not in said
    assert list(temporary.iterdir()) == []
    wait_for(lambda: not alive(temporary))


def wait_for(what: Callable[[], bool]) -> None:
    """The limit is a safety net and never the thing tested."""
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


FAILING = """
import sys
from runctl_simulator.demo import acts, main
acts.Commands.run = lambda *arguments, **options: "no id"
main()
"""


def test_what_does_not_work_is_said_and_the_logs_are_kept(temporary: Path) -> None:
    said = finished(demo(temporary, program=FAILING), 1)
    assert "It did not work" in said
    assert "no instance is named in: no id" in said
    (folder,) = temporary.iterdir()
    assert f"The logs lie in {folder}/cloud" in said
    assert (folder / "cloud" / "simulator.log").exists()
    assert alive(temporary) == []


def test_a_reader_that_goes_away_ends_it(temporary: Path) -> None:
    process = demo(temporary)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(PATIENCE) == 1
    assert list(temporary.iterdir()) == []
    wait_for(lambda: not alive(temporary))


def test_ending_what_is_no_demo(temporary: Path) -> None:
    said = finished(demo(temporary, "--end", str(temporary)), 5)
    assert "is no demo that was kept" in said
    assert temporary.exists()
