"""Whatever becomes of a log, of the agent and of its requests: what S3 has, in order, is what the log said."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runctl_agent.conduct import End
from runctl_agent.contract import pieces
from runctl_agent.contract.keys import Keys
from runctl_agent.contract.pieces import put_together
from runctl_agent.contract.spec import Spec, Watched
from runctl_agent.shipping import Shipment, Shipping
from runctl_agent.store.journal import Journal
from tests.fakes.clock import FakeRuntime
from tests.fakes.memory_store import MemoryStore

KEYS = Keys("runs", "gpt2")


class Killed(BaseException):
    """As by kill -9: nobody catches it."""


class World:
    """A log, and the agents that ship it, one after another."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "training.log"
        self.log.touch()
        self.folder = folder
        self.store = MemoryStore()
        self.journal = Journal(str(folder / "journal.db"), owner="me", alive=lambda owner: owner == "me")
        self.written: list[bytes] = []
        self.epoch = 1
        self.rotated = 0
        self.clock = FakeRuntime()
        self.ours = self._agent()

    def _agent(self) -> Shipping:
        folder = str(self.folder)
        spec = Spec(run="gpt2", destination="s3://b/runs", checkpoints=(Watched(folder),), workdir=folder)
        return Shipping(self.clock, self.journal, spec, folder, "")

    def append(self, length: int) -> None:
        line = b"line %d %s\n" % (len(self.written), b"x" * length)
        self.written.append(line)
        with self.log.open("ab") as file:
            file.write(line)

    def look(self) -> None:
        self.clock.advance(1000.0)
        self.ours.turn(self.store, KEYS, Shipment(self.epoch, End.FAR))

    def until_whole(self) -> None:
        """As somebody who lets the agent see all of it before he rotates it away."""
        for _ in range(len(self.written) + 10):
            self.look()

    def killed_at(self, method: str, *, before: bool) -> None:
        """The agent dies at a put, before it or after it, and another begins."""
        put = self.store.put

        def die(key: str, body: bytes) -> str:
            if not before:
                put(key, body)
            raise Killed

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(self.store, "put", die)
            try:
                self.look()
            except Killed:
                pass
        self.restart()

    def restart(self) -> None:
        self.ours.close()
        self.ours = self._agent()

    def there(self) -> bytes:
        whole = b""
        for epoch in range(1, self.epoch + 1):
            series = KEYS.log(epoch, "training.log")
            found = {key: series.offset(key) for key in self.store.list(series.prefix)}
            whole += put_together((offset, self.store.objects[key].body) for key, offset in found.items() if offset is not None)
        return whole

    def act(self, act: str) -> None:
        if act == "rotate":
            self.until_whole()
            self.rotated += 1
            self.log.rename(self.log.with_name(f"training.log.{self.rotated}"))
            self.log.touch()
        elif act == "rotate unread":
            self.log.rename(self.log.with_name("training.log.1"))
            self.log.touch()
        elif act == "another file":
            self.until_whole()
            self.log.unlink()
            self.log.touch()
        elif act == "cut":
            self.until_whole()
            self.log.write_bytes(b"")
        elif act == "restart":
            self.restart()
        elif act == "epoch":
            self.store.land_late()  # what lands under an epoch after its end is there twice: nobody can know
            self.epoch += 1
        elif act == "lost answer":
            self.store.lose_answer("put")
        elif act == "late":
            self.store.delay_next("put")
        elif act == "land":
            self.store.land_late()
        elif act == "fail":
            self.store.fail_next("put")
        elif act in ("killed before", "killed after"):
            self.killed_at("put", before=act == "killed before")
        else:
            self.look()


@contextmanager
def world(size: int) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as made, pytest.MonkeyPatch.context() as patched:
        patched.setattr(pieces, "PIECE", size)
        one = World(Path(made))
        try:
            yield one
        finally:
            one.ours.close()
            one.journal.close()


HARMLESS = ["look", "rotate", "another file", "cut", "restart", "lost answer", "late", "land", "fail"]
KILLS = ["killed before", "killed after", "epoch"]
ACTS = st.lists(st.one_of(st.integers(0, 60), st.sampled_from([*HARMLESS, *KILLS])), max_size=30)


@settings(max_examples=300, deadline=None)
@given(ACTS, st.integers(20, 200))
@example([5, "look", "cut", 5, 5, 5, "look"], 100)
@example([5, "late", "look", 5, "look", 5, "look", "land"], 100)
@example([5, "killed after", "another file", 5], 100)
@example([0, "late", "killed after", 0], 20)
@example([5, "lost answer", "look", "epoch"], 100)
@example([0, 0, 0, "lost answer", "look", "epoch", "killed before"], 20)
def test_every_line_is_there_once_in_its_order(acts: list[str | int], size: int) -> None:
    """A log that is looked at before its owner takes something away."""
    with world(size) as one:
        for act in acts:
            if isinstance(act, int):
                one.append(act)
            else:
                one.act(act)
        one.until_whole()
        one.store.land_late()
        assert one.there() == b"".join(one.written)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(st.integers(0, 60), st.sampled_from(["look", "rotate unread", "cut unread", "restart", "fail", "epoch"])),
        max_size=30,
    )
)
def test_what_was_taken_away_unread_is_missing_and_nothing_is_mixed(acts: list[str | int]) -> None:
    """Each line in S3 is one that was written, or the beginning of one, and they are in their order."""
    with world(100) as one:
        for act in acts:
            if isinstance(act, int):
                one.append(act)
            elif act == "cut unread":
                one.log.write_bytes(b"")
            else:
                one.act(act)
        one.until_whole()
        at = 0
        for line in filter(None, one.there().split(b"\n")):
            at = next(n for n in range(at, len(one.written)) if one.written[n].startswith(line)) + 1
