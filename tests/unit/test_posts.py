from __future__ import annotations

from dataclasses import replace

import pytest

from runctl_agent.contract import tags as contract
from runctl_agent.contract.phases import Phase
from runctl_agent.errors import JournalError, TagsFull, TagsRefused, TagsThrottled
from tests.fakes.agent_state import drive, state
from tests.fakes.places import Places, same
from tests.fakes.tag_store import Facts, TagStore


@pytest.fixture
def places() -> Places:
    return Places()


def test_slots_alternate_and_the_state_that_stood_is_never_touched(places: Places) -> None:
    publisher = places.publisher()
    for step in range(6):
        publisher.update(state(step))
        drive(places.runtime, publisher, 60)
    for hint, (_, tags) in zip(places.hints(), places.tags.calls, strict=True):
        assert set(tags) == {*contract.PLAIN_KEYS, *contract.SLOT_KEYS[hint.slot]}
    assert [hint.slot for hint in places.hints()][:6] == ["a", "b", "a", "b", "a", "b"]


def test_bursts_are_read_back_before_the_slot_changes(places: Places) -> None:
    publisher = places.publisher()
    for phase in [Phase.STARTING, Phase.SETUP, Phase.RESTORING, Phase.TRAINING]:
        publisher.update(state(1, phase))
        publisher.turn()
    assert [hint.slot for hint in places.hints()] == ["a", "b", "a", "b"]


def test_a_restarted_agent_goes_on_with_its_generation_and_the_other_slot(places: Places) -> None:
    first = places.publisher()
    first.update(state(1))
    drive(places.runtime, first, 2)
    second = places.publisher()
    second.update(state(2))
    second.turn()
    assert [tags[contract.STATE][:3] for _, tags in places.tags.calls] == ["a:1", "b:2"]
    assert same(places.posted(), state(2))


def test_an_agent_that_lost_its_journal_goes_on_above_what_the_tags_show(places: Places) -> None:
    first = places.publisher()
    for step in range(3):
        first.update(state(step))
        drive(places.runtime, first, 31)
    places.facts.clear()
    second = places.publisher()
    second.update(state(9))
    second.turn()
    assert places.tags.calls[-1][1][contract.STATE].startswith("b:4:")
    assert same(places.posted(), state(9))


def test_a_journal_that_fails_does_not_keep_the_state_from_being_posted(places: Places) -> None:
    class BrokenJournal(Facts):
        def put(self, key: str, value: str) -> None:
            raise JournalError("the journal is full")

    places.facts = BrokenJournal()
    publisher = places.publisher()
    for step in range(3):
        publisher.update(state(step))
        drive(places.runtime, publisher, 31)
    assert same(places.posted(), state(2))
    assert [str(p) for p in publisher.problems()] == ["slot memory: the journal is full"]


def test_garbage_in_the_journal_is_no_memory(places: Places) -> None:
    places.facts["tags.turn"] = '{"slot": "z"}'
    publisher = places.publisher()
    publisher.update(state(1))
    publisher.turn()
    assert same(places.posted(), state(1))


def test_tags_that_cannot_be_read_are_posted_to_one_slot(places: Places) -> None:
    places.tags.reading = TagsRefused("ec2:DescribeTags", "UnauthorizedOperation")
    publisher = places.publisher()
    for step in range(4):
        publisher.update(state(step))
        drive(places.runtime, publisher, 31)
    assert {tags[contract.STATE][0] for _, tags in places.tags.calls} == {"a"}
    assert same(places.posted(), state(3))
    assert [p.source for p in publisher.problems()] == ["reading tags"]


def test_without_room_for_the_slots_the_plain_tags_are_posted(places: Places) -> None:
    others = {f"team:{n}": "" for n in range(50 - len(contract.PLAIN_KEYS))}
    places.tags = TagStore(places.runtime.monotonic, tags=others)
    publisher = places.publisher()
    publisher.update(state(7))
    drive(places.runtime, publisher, 60)
    assert places.tags.now[contract.STEP] == "7"
    assert places.posted() is None
    (problem,) = publisher.problems()
    assert isinstance(problem.error, TagsFull)
    places.tags.most_tags = 100
    drive(places.runtime, publisher, 4000)
    assert same(places.posted(), state(7))
    assert publisher.problems() == ()


def test_an_agent_that_could_remember_and_read_nothing_passes_what_it_finds_later(places: Places) -> None:
    old = contract.encode(replace(state(1), generation=9), "b", 1_800_000_000)
    places.tags = TagStore(places.runtime.monotonic, tags=old)
    places.tags.reading = TagsThrottled("ec2:DescribeTags", "RequestLimitExceeded")
    publisher = places.publisher()
    publisher.update(state(2))
    publisher.turn()
    assert places.hints()[-1].generation == 1
    places.tags.reading = None
    drive(places.runtime, publisher, 20)
    assert places.hints()[-1].generation == 10
    assert same(places.posted(), state(2))


def test_a_terminal_phase_is_looked_at_for_minutes(places: Places) -> None:
    publisher = places.publisher()
    publisher.update(state(1))
    drive(places.runtime, publisher, 1000)
    publisher.update(state(2, Phase.FINISHED))
    drive(places.runtime, publisher, 50)
    places.tags.create({contract.PHASE: "training"})
    calls = len(places.tags.calls)
    drive(places.runtime, publisher, 11)
    assert places.tags.now[contract.PHASE] == "finished"
    assert len(places.tags.calls) == calls + 1
