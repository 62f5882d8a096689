"""Whose a machine is: told by locks that are held, and where none is by the process that its last training was."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runctl_agent.errors import WrongStateError
from runctl_agent.records import ProcessId
from runctl_agent.training.record import ExitRecord, encode_process, encode_record, exit_path, started_path
from runctl_agent.training.tenancy import AGENT, TRAINING, Tenancy, taken
from tests.fakes.clock import FakeRuntime

BOOT = "boot-1"
COMMAND = ProcessId(4000, 7, BOOT)


@dataclass
class Around:
    """A machine's processes: the main ones alive, and who else is of their sessions."""

    living: list[ProcessId] = field(default_factory=list)
    left: list[ProcessId] = field(default_factory=list)

    def identify(self, pid: int) -> ProcessId | None:
        raise AssertionError

    def alive(self, process: ProcessId) -> bool:
        return process in self.living

    def exited(self, process: ProcessId) -> bool:
        return not self.alive(process)

    def owner(self, process: ProcessId) -> int | None:
        raise AssertionError

    def signal(self, process: ProcessId, number: signal.Signals, *, group: bool = False) -> None:
        raise AssertionError

    def forget(self, process: ProcessId) -> None:
        raise AssertionError

    def session(self, leader: ProcessId) -> list[ProcessId]:
        return self.left


class Place:
    """One machine and what runs on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.around = Around()
        self.runtime = FakeRuntime()
        for name in ("one", "two"):
            (folder / name).mkdir()

    def tenancy(self, run: str, state: str, boot: str = BOOT) -> Tenancy:
        return Tenancy(str(self.folder / "run"), run, str(self.folder / state), self.around, boot, self.runtime)

    def started(self, run: str, state: str, process: ProcessId = COMMAND) -> None:
        Path(started_path(str(self.folder / state), run)).write_bytes(encode_process(process))

    def lock(self, name: str) -> Path:
        return self.folder / "run" / name


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_an_agent_and_its_own_training_live_side_by_side(place: Place) -> None:
    own = place.tenancy("a", "one")
    with own.agent(), own.training() as held:
        assert held is not None
        assert not os.get_inheritable(held)
    with own.training(), own.agent():
        pass
    assert place.runtime.slept == []


@pytest.mark.parametrize(("run", "state"), [("a", "two"), ("b", "one"), ("b", "two")])
def test_nobody_else_comes_beside_them(place: Place, run: str, state: str) -> None:
    own, other = place.tenancy("a", "one"), place.tenancy(run, state)
    with own.agent():
        for attempt in (other.agent, other.training):
            with pytest.raises(WrongStateError, match="has an agent already") as error, attempt():
                raise AssertionError
            assert error.value.mend == f"stop that one: systemctl stop runctl-agent, or kill {os.getpid()}"
    with own.training():
        for attempt in (other.agent, other.training):
            with pytest.raises(WrongStateError, match=r"a start of run a .* is alive"), attempt():
                raise AssertionError
    with other.agent(), other.training():
        pass


def test_a_second_of_the_same_is_refused_as_well(place: Place) -> None:
    own = place.tenancy("a", "one")
    with own.agent(), pytest.raises(WrongStateError, match="an agent already"), place.tenancy("a", "one").agent():
        raise AssertionError
    with own.training(), pytest.raises(WrongStateError, match="of the same run"), place.tenancy("a", "one").training():
        raise AssertionError


def test_one_state_directory_by_two_names_is_one(place: Place, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("one")
    with place.tenancy("a", "one").training(), place.tenancy("a", "link").agent():
        pass


def test_who_took_it_and_has_not_said_so_yet_is_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the file says then is of somebody before."""
    with place.tenancy("b", "two").training():
        pass
    own = place.tenancy("a", "one")
    fd = taken(str(place.lock(TRAINING)))
    assert fd is not None
    looks = 0

    def sleep(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            said = {"run": "a", "state_dir": str(place.folder / "one"), "pid": 1, "boot_id": BOOT}
            place.lock(TRAINING).write_text(json.dumps(said))

    monkeypatch.setattr(place.runtime, "sleep", sleep)
    try:
        with own.agent():
            assert looks == 3
    finally:
        os.close(fd)


@pytest.mark.parametrize("said", [b"", b"{", b"[]", b'{"run": 1}', b"\xff", b"[" * 60_000])
def test_a_lock_that_says_nothing_is_still_a_lock(place: Place, said: bytes) -> None:
    place.lock(TRAINING).parent.mkdir()
    fd = taken(str(place.lock(TRAINING)))
    assert fd is not None
    place.lock(TRAINING).write_bytes(said)
    try:
        with pytest.raises(WrongStateError, match=r"another already: .*training\.lock is locked") as error:
            place.tenancy("a", "one").free_of_training()
        assert error.value.mend == f"see who has it: fuser {place.lock(TRAINING)}"
    finally:
        os.close(fd)
    place.tenancy("a", "one").free_of_training()


@pytest.mark.parametrize("of", [AGENT, TRAINING])
@pytest.mark.parametrize(
    ("living", "left", "ended", "boot", "refused"),
    [
        (True, False, False, BOOT, True),
        (False, True, False, BOOT, True),
        (False, False, False, BOOT, False),
        (False, True, True, BOOT, False),
        (True, False, False, "boot-2", False),
    ],
    ids=["its process lives", "its session lives", "it is gone", "its end was seen", "it was in another boot"],
)
def test_where_nobody_holds_the_lock_the_process_that_was_started_tells(
    place: Place, of: str, living: bool, left: bool, ended: bool, boot: str, refused: bool
) -> None:
    before = place.tenancy("a", "one")
    with before.agent() if of == AGENT else before.training():
        pass
    place.started("a", "one")
    place.around.living = [COMMAND] if living else []
    place.around.left = [ProcessId(4001, 9, BOOT)] if left else []
    if ended:
        record = ExitRecord("a", 1, COMMAND, 0, None, None, 1.0, 2.0, 0)
        Path(exit_path(str(place.folder / "one"), "a")).write_bytes(encode_record(record))
    own = place.tenancy("b", "two", boot)
    for attempt in (own.agent, own.training) if of == TRAINING else (own.agent,):
        if refused:
            with pytest.raises(WrongStateError, match=r"a training of run a .* is alive on this machine, process 400"), attempt():
                raise AssertionError
        else:
            with attempt():
                pass
    with before.agent(), before.training():
        pass


def test_whoever_has_it_open_does_not_have_it_after_the_end(place: Place) -> None:
    with place.tenancy("a", "one").training() as held:
        assert held is not None
        inherited = os.dup(held)
    try:
        with place.tenancy("b", "two").training(), pytest.raises(BlockingIOError):
            fcntl.flock(inherited, fcntl.LOCK_SH | fcntl.LOCK_NB)
    finally:
        os.close(inherited)


def test_a_link_in_the_locks_place_is_not_followed(place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    place.lock(TRAINING).parent.mkdir()
    place.lock(TRAINING).symlink_to(target)
    with place.tenancy("a", "one").training() as held:
        assert held is None
    assert target.read_text() == "precious"
    assert "a second training on this machine would not be refused" in caplog.text
