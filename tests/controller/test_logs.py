"""`runctl logs`: what stands in S3 piece by piece, as one log, whatever is in it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl.follow import Follower
from runctl.logs import Log, Reader, Shower, tail
from runctl.shelf import Shelf
from runctl_agent.contract.history import Moment, encode_moment
from runctl_agent.contract.keys import Keys
from runctl_agent.contract.phases import Phase
from runctl_agent.contract.pieces import put_together
from tests.controller.stage import Stage
from tests.fakes.clock import FakeRuntime
from tests.fakes.memory_store import MemoryStore

KEYS = Keys("runs", "gpt2")
NAME = "training.log"


class World:
    def __init__(self) -> None:
        self.store = MemoryStore()
        self.runtime = FakeRuntime()
        shelf = SimpleNamespace(store=self.store, keys=lambda run: KEYS)
        self.log = Log(cast(Shelf, shelf), "gpt2", NAME, self.runtime)

    def has(self, epoch: int, offset: int, body: bytes) -> None:
        self.store.put(KEYS.log(epoch, NAME).key(offset), body)

    def read(self, lines: int = 0) -> list[str]:
        reader, there = Reader(self.log), self.log.last(self.log.pieces(), lines)
        reader.begin(there if lines else ())
        found = [*reader.new(there), *reader.rest()]
        return [line.text for line in (tail(found, lines) if lines else found)]


@pytest.fixture
def world() -> World:
    return World()


def test_pieces_are_one_log_and_each_epoch_has_its_own(world: World) -> None:
    world.has(2, 0, b"three\n")
    world.has(1, 4, b"\ntwo\n")
    world.has(1, 0, b"one ")
    world.store.put(KEYS.log(1, "agent.log").key(0), b"not asked for\n")
    world.store.put(KEYS.base + "logs/elsewhere", b"no log\n")
    assert world.read() == ["one ", "two", "three"]


def test_a_gap_is_said_in_its_place(world: World) -> None:
    world.has(1, 0, b"one\ntw")
    world.has(1, 10, b"four\n")
    assert world.read() == ["one", "tw", "[4 bytes of this log are missing here]", "four"]


@given(
    st.lists(st.tuples(st.integers(0, 40), st.binary(min_size=1, max_size=12)), min_size=1, max_size=6, unique_by=lambda p: p[0])
)
def test_it_says_what_the_contract_puts_together(pieces: list[tuple[int, bytes]]) -> None:
    """Overlaps, after answers that were lost, are taken from the later piece."""
    world = World()
    plain = [(offset, body.translate(bytes(97 + byte % 26 for byte in range(256)))) for offset, body in pieces]
    for offset, body in plain:
        world.has(1, offset, body)
    whole = put_together(plain).decode().split("\n")
    assert world.read() == [line for line in whole if line]


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (b"\x1b[31mred\x1b[0m alert\n", "red alert"),
        (b" 10%|#   |\r 20%|##  |\r100%|####|\n", "100%|####|"),
        (b"dos\r\n", "dos"),
        (b"\x1b]0;owned\x07title\n", "title"),
        (b"\x1b]52;c;ZXZpbA==\x1b\\clip\n", "clip"),
        (b"tab\there\x07\x08\x1bc\n", "tab\there\\x07\\x08\\x1bc"),
        (b"\xff\xfe caf\xc3\xa9 \xe2\x80\xaeevil\n", "\\xff\\xfe café \\u202eevil"),
        (b"\n", ""),
    ],
)
def test_nothing_in_a_log_commands_a_terminal(world: World, printed: bytes, shown: str) -> None:
    world.has(1, 0, printed)
    assert world.read() == [shown]


def test_a_line_without_end_is_shown_in_parts(world: World) -> None:
    world.has(1, 0, b"x" * 200_000)
    assert "".join(world.read()) == "x" * 200_000
    world.has(1, 200_000, b"\nend\n")
    assert world.read()[-1] == "end"


@pytest.mark.parametrize(("lines", "gets"), [(1, 1), (3, 2), (0, 4)])
def test_the_last_lines_need_the_last_pieces_only(world: World, lines: int, gets: int) -> None:
    for n in range(4):
        world.has(1, 6 * n, f"{n}a\n{n}b\n".encode())
    whole = [f"{n}{half}" for n in range(4) for half in "ab"]
    there = world.log.last(world.log.pieces(), lines)
    assert len(there) == gets
    assert world.read(lines) == (whole[-lines:] if lines else whole)


def test_each_attempt_is_named_where_there_are_several(world: World) -> None:
    world.has(1, 0, b"a\n")
    world.has(2, 0, b"b\n")
    moments = [Moment(1_800_000_000, Phase.STARTING, attempt=1), Moment(1_800_000_009, Phase.TRAINING, instance="i-2", attempt=2)]
    world.store.put(KEYS.history(2).key(0), b"".join(encode_moment(one) + b"\n" for one in moments))
    said: list[str] = []
    shower = Shower(world.log, said.append, several=True)
    assert shower.show(Reader(world.log).new(world.log.pieces())) == 2
    assert said == ["==> epoch 1 <==", "a", "==> attempt 2, epoch 2, i-2, from 2027-01-15 08:00:00Z <==", "b"]


class Ends:
    """A run that has ended at its look number `looks`; before each one `turn` is called."""

    pause = 5.0

    def __init__(self, looks: int, turn: Any) -> None:
        self._left = looks
        self._turn = turn

    def look(self) -> object:
        self._left -= 1
        self._turn(self._left)
        return object() if self._left <= 0 else None


def test_it_is_followed_until_the_run_has_ended_and_to_the_last_line(world: World) -> None:
    def turn(left: int) -> None:
        grown = {3: b"one\ntw", 2: b"one\ntwo\n", 1: b"one\ntwo\n 5%\r 9%"}
        if left in grown:
            world.has(1, 0, grown[left])
        if left == 0:
            world.has(2, 0, b"again\nlast")

    reader = Reader(world.log)
    said: list[str] = []
    shower = Shower(world.log, said.append, several=False)
    Follower(world.log, reader, cast(Any, Ends(4, turn)), world.runtime, shower.show).until_ended()
    assert said == ["one", "two", " 9%", "==> epoch 2 <==", "again", "last"]
    assert world.runtime.slept == [5.0, 5.0, 5.0, 2.0, 2.0]


def test_the_command(stage: Stage) -> None:
    instance = stage.launch()
    assert "has no training.log in S3 yet" in stage.command("logs", stage.run).stderr
    keys = Keys(stage.s3.prefix, stage.run)
    with stage.s3.store() as store:
        store.put(keys.log(1, NAME).key(0), b"step 1\nstep 2\n")
        store.put(keys.log(1, "agent.log").key(0), b"up\n")
    assert stage.command("logs", stage.run).stdout == "step 1\nstep 2\n"
    assert stage.command("logs", instance, "--lines", "1").stdout == "step 2\n"
    assert stage.command("logs", stage.run, "--agent").stdout == "up\n"
    assert "leave one of them out" in stage.refused("logs", stage.run, "-f", code=2)["mend"]
    with stage.start("logs", stage.run, "-f", "--every", "200ms") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "step 1\n"
        with stage.s3.store() as store:
            store.put(keys.log(1, NAME).key(0), b"step 1\nstep 2\nstep 3\n")
        stage.posts(stage.state(instance, Phase.FINISHED, exit_code=0))
        out = process.stdout.read()
        process.wait(60)
    assert (out, process.returncode) == ("step 2\nstep 3\n", 0)
