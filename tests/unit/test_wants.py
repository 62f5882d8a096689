"""`runctl:want`: once per nonce, only in the life it names, and over the death of an agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runctl_agent.contract.tags import Verb, Want, encode_want
from runctl_agent.errors import ImdsUnavailable
from runctl_agent.life.wants import Flushing, Wants
from runctl_agent.pruning import Wish
from runctl_agent.store.journal import Journal
from tests.fakes.clock import FakeRuntime

LAUNCHED = 1_800_000_000


class Disk:
    """What a flush asks of the agent."""

    def __init__(self) -> None:
        self.rescans = 0
        self.is_quiet = True

    def flushing(self) -> Flushing:
        def rescan() -> None:
            self.rescans += 1

        return Flushing(rescan, lambda: self.is_quiet)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path / "journal.db"), owner="me", alive=lambda owner: owner == "me")
    yield journal
    journal.close()


@pytest.fixture
def disk() -> Disk:
    return Disk()


def wants(journal: Journal, disk: Disk, boot_id: str = "boot", wish: Wish | None = None) -> Wants:
    return Wants(FakeRuntime(), journal, boot_id, disk.flushing(), wish)


def asked(verb: Verb, nonce: str = "n1", launch_time: int = LAUNCHED) -> str:
    return encode_want(Want(verb, nonce, launch_time))


def test_a_stop_is_acknowledged_when_it_is_taken(journal: Journal, disk: Disk) -> None:
    one = wants(journal, disk)
    one.turn(lambda: None, lambda anew: LAUNCHED)
    assert (one.stop, one.acknowledged) == (False, "")
    one.turn(lambda: asked(Verb.STOP), lambda anew: LAUNCHED)
    assert (one.stop, one.acknowledged, one.problem) == (True, "n1", "")


def test_the_agent_after_this_one_goes_on_with_it_and_the_next_boot_does_not(journal: Journal, disk: Disk) -> None:
    wants(journal, disk).turn(lambda: asked(Verb.STOP), lambda anew: LAUNCHED)
    after, rebooted = wants(journal, disk), wants(journal, disk, "another boot")
    assert (after.stop, after.acknowledged) == (True, "n1")
    assert (rebooted.stop, rebooted.acknowledged) == (False, "n1")
    rebooted.turn(lambda: asked(Verb.STOP), lambda anew: LAUNCHED)
    assert not rebooted.stop, "the same nonce does nothing twice"


@pytest.mark.parametrize("launched", [LAUNCHED + 1, LAUNCHED - 1, None])
def test_what_asks_another_life_is_ignored_and_said(journal: Journal, disk: Disk, launched: int | None) -> None:
    one = wants(journal, disk)
    one.turn(lambda: asked(Verb.STOP), lambda anew: launched)
    assert (one.stop, one.acknowledged) == (False, "")
    assert "asks another life to stop" in one.problem


@pytest.mark.parametrize("value", ["", "stop", "{}", '{"verb":"destroy","nonce":"n","launch_time":1}', "x" * 300])
def test_garbage_asks_nothing(journal: Journal, disk: Disk, value: str) -> None:
    one = wants(journal, disk)
    one.turn(lambda: value, lambda anew: LAUNCHED)
    assert (one.stop, one.acknowledged, disk.rescans) == (False, "", 0)
    assert bool(one.problem) == bool(value)


def test_a_prune_is_acknowledged_when_retention_was_applied_since(journal: Journal, disk: Disk) -> None:
    wish = Wish(FakeRuntime().event())
    one = wants(journal, disk, wish=wish)
    one.turn(lambda: asked(Verb.PRUNE), lambda anew: LAUNCHED)
    one.turn(lambda: asked(Verb.PRUNE), lambda anew: LAUNCHED)
    assert (wish.asked, one.acknowledged) == (1, "")
    wish.met = 1
    one.turn(lambda: asked(Verb.PRUNE), lambda anew: LAUNCHED)
    assert (one.acknowledged, one.problem) == ("n1", "")
    one.turn(lambda: asked(Verb.PRUNE, "n2"), lambda anew: LAUNCHED)
    assert (wish.asked, one.acknowledged) == (2, "")


def test_the_agent_after_one_that_died_prunes(journal: Journal, disk: Disk) -> None:
    wants(journal, disk, wish=Wish(FakeRuntime().event())).turn(lambda: asked(Verb.PRUNE), lambda anew: LAUNCHED)
    wish = Wish(FakeRuntime().event())
    after = wants(journal, disk, wish=wish)
    after.turn(lambda: None, lambda anew: LAUNCHED)
    assert (wish.asked, after.acknowledged) == (1, "")
    wish.met = 1
    after.turn(lambda: None, lambda anew: LAUNCHED)
    assert after.acknowledged == "n1"
    wants(journal, disk, wish=wish).turn(lambda: None, lambda anew: LAUNCHED)
    assert wish.asked == 1, "done is done"


def test_without_retention_a_prune_is_refused(journal: Journal, disk: Disk) -> None:
    one = wants(journal, disk)
    one.turn(lambda: asked(Verb.PRUNE), lambda anew: LAUNCHED)
    assert one.acknowledged == ""
    assert "has no retention" in one.problem


def test_a_flush_is_acknowledged_when_what_was_there_is_durable(journal: Journal, disk: Disk) -> None:
    one = wants(journal, disk)
    disk.is_quiet = False
    one.turn(lambda: asked(Verb.FLUSH), lambda anew: LAUNCHED)
    assert (disk.rescans, one.acknowledged) == (1, ""), "something on disk is not journaled"
    one.turn(lambda: asked(Verb.FLUSH), lambda anew: LAUNCHED)
    assert (disk.rescans, one.acknowledged) == (1, "")
    disk.is_quiet = True
    one.turn(lambda: asked(Verb.FLUSH), lambda anew: LAUNCHED)
    assert (one.acknowledged, one.stop) == ("n1", False)
    one.turn(lambda: asked(Verb.FLUSH, "n2"), lambda anew: LAUNCHED)
    assert (disk.rescans, one.acknowledged) == (2, "n2")


def test_a_stop_after_a_flush_is_another_request(journal: Journal, disk: Disk) -> None:
    one = wants(journal, disk)
    one.turn(lambda: asked(Verb.FLUSH), lambda anew: LAUNCHED)
    one.turn(lambda: asked(Verb.STOP, "n2"), lambda anew: LAUNCHED)
    assert (one.stop, one.acknowledged) == (True, "n2")


def test_an_old_answer_of_ec2_is_asked_for_anew(journal: Journal, disk: Disk) -> None:
    one = wants(journal, disk)
    one.turn(lambda: asked(Verb.STOP), lambda anew: LAUNCHED if anew else LAUNCHED - 500)
    assert (one.stop, one.problem) == (True, "")


def test_what_could_not_be_asked_is_no_problem_once_it_can(journal: Journal) -> None:
    wants = Wants(FakeRuntime(), journal, "boot", Flushing(lambda: None, lambda: True))
    seen: list[str] = []

    def read() -> str | None:
        seen.append(wants.problem)
        if len(seen) == 1:
            raise ImdsUnavailable("GET x", "HTTP 500", "")
        if len(seen) == 3:
            wants.stopping.set()
        return None

    wants.run(read, lambda anew: 1)
    assert [bool(problem) for problem in seen] == [False, True, False]
