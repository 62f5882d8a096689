from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from runctl_agent.contract import tags as contract
from runctl_agent.contract.phases import Condition, ConditionName, Phase
from runctl_agent.errors import StoreRefused, StoreUnavailable, TagsRefused
from runctl_agent.publish import Publisher
from runctl_agent.runtime import ThreadRuntime
from tests.fakes.agent_state import drive, state
from tests.fakes.places import Places, decoded, same
from tests.fakes.tag_store import Facts, Fate, TagStore


@pytest.fixture
def places() -> Places:
    return Places()


def test_the_first_state_goes_everywhere_at_once(places: Places) -> None:
    publisher = places.publisher()
    publisher.update(state(1, Phase.STARTING))
    publisher.turn()
    assert same(places.posted(), state(1, Phase.STARTING))
    assert same(decoded(places.remote[-1][1]), state(1, Phase.STARTING))
    assert same(places.last_local(), state(1, Phase.STARTING))
    assert places.tags.now[contract.PHASE] == "starting"
    assert publisher.problems() == ()


def test_the_heartbeat_is_the_time_of_the_post(places: Places) -> None:
    publisher = places.publisher()
    publisher.update(replace(state(1), heartbeat=5, generation=77))
    places.runtime.advance(10)
    publisher.turn()
    posted = places.posted()
    assert posted is not None
    assert (posted.heartbeat, posted.generation) == (int(places.runtime.now()), 1)


def test_nothing_is_published_before_the_first_state(places: Places) -> None:
    publisher = places.publisher()
    drive(places.runtime, publisher, 1000)
    assert places.tags.calls == []
    assert places.remote == []
    assert places.local == []


def test_outside_ec2_there_are_no_tags(places: Places) -> None:
    publisher = places.publisher(on_ec2=False)
    publisher.update(state(1))
    drive(places.runtime, publisher, 1000)
    assert places.tags.calls == []
    assert places.tags.reads == 0
    assert places.last_local().generation == 0
    assert publisher.flush(1.0)


def test_changes_between_two_posts_are_never_posted(places: Places) -> None:
    publisher = places.publisher()
    for step in range(1, 61):
        publisher.update(state(step))
        drive(places.runtime, publisher, 1)
    steps = [tags[contract.STEP] for _, tags in places.tags.calls]
    assert steps == ["1", "30", "60"]


def test_phases_and_conditions_are_posted_in_the_turn_that_they_come_in(places: Places) -> None:
    publisher = places.publisher()
    publisher.update(state(1, Phase.STARTING))
    publisher.turn()
    stuck = (Condition(ConditionName.SYNC_STUCK, 1_800_000_000, "nothing sent for 5 minutes"),)
    for changed in [
        state(1, Phase.TRAINING),
        replace(state(1, Phase.TRAINING), conditions=stuck),
        state(1, Phase.TRAINING),
    ]:
        publisher.update(changed)
        publisher.turn()
        assert same(places.posted(), changed)
        assert same(decoded(places.remote[-1][1]), changed)
    publisher.update(replace(state(1), want="0" * 32), urgent=True)
    publisher.turn()
    assert same(places.posted(), replace(state(1), want="0" * 32))
    assert len(places.tags.calls) == 5


def test_an_unchanged_state_costs_a_call_every_five_minutes_and_a_status_every_minute(places: Places) -> None:
    publisher = places.publisher()
    publisher.update(state(1))
    drive(places.runtime, publisher, 700)
    before, status_before, reads_before = len(places.tags.calls), len(places.remote), places.tags.reads
    for _ in range(3600):
        publisher.update(state(1))
        drive(places.runtime, publisher, 1)
    assert len(places.tags.calls) - before == 12
    assert len(places.remote) - status_before == 60
    assert places.tags.reads - reads_before == 12  # one look for each post
    assert [hint.generation for hint in places.hints()] == list(range(1, len(places.tags.calls) + 1))


def test_who_asked_is_answered_at_once(places: Places) -> None:
    publisher = places.publisher()
    publisher.update(state(1))
    publisher.turn()
    asked = replace(state(1), want="n1")
    publisher.update(asked)
    publisher.turn()
    assert same(places.posted(), asked)


def test_flapping_stays_within_the_budget(places: Places) -> None:
    publisher = places.publisher()
    for step in range(1200):
        publisher.update(state(step, Phase.TRAINING if step % 2 else Phase.SAVING), urgent=True)
        drive(places.runtime, publisher, 0.5)
    assert len(places.tags.calls) <= 8 + 2 * 10
    assert len(places.remote) <= 6 + 6 * 10


def test_denied_tags_are_a_problem_until_they_are_allowed(places: Places) -> None:
    places.tags = TagStore(places.runtime.monotonic, [Fate.DENIED] * 3)
    publisher = places.publisher()
    publisher.update(state(1))
    publisher.turn()
    (problem,) = publisher.problems()
    assert problem.denied
    assert problem.source == "tags"
    assert isinstance(problem.error, TagsRefused)
    assert places.remote  # S3 does not wait for EC2
    drive(places.runtime, publisher, 600)
    assert publisher.problems() == ()
    assert same(places.posted(), state(1))


def test_a_store_that_fails_delays_no_tag_and_is_tried_again(places: Places) -> None:
    places.remote_error = StoreUnavailable("PUT status.json", "no answer")
    publisher = places.publisher()
    publisher.update(state(1))
    drive(places.runtime, publisher, 30)
    assert same(places.posted(), state(1))
    assert [p.source for p in publisher.problems()] == ["status.json"]
    tried = len(places.remote)
    assert 3 < tried < 10
    places.remote_error = None
    drive(places.runtime, publisher, 120)
    assert publisher.problems() == ()


def test_what_may_have_arrived_is_written_over_soon(places: Places) -> None:
    publisher = places.publisher()
    publisher.update(state(1))
    publisher.turn()
    places.remote_error = StoreUnavailable("PUT status.json", "no answer")
    publisher.update(state(2, Phase.SAVING))
    publisher.turn()
    assert same(decoded(places.remote[-1][1]), state(2, Phase.SAVING))
    places.remote_error = None
    publisher.update(state(1))
    drive(places.runtime, publisher, 1)
    assert same(decoded(places.remote[-1][1]), state(1))


def test_a_store_that_refuses_is_denied(places: Places) -> None:
    places.remote_error = StoreRefused("PUT status.json", "AccessDenied", "allow s3:PutObject")
    publisher = places.publisher()
    publisher.update(state(1))
    publisher.turn()
    assert [p.denied for p in publisher.problems()] == [True]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ZeroDivisionError("a bug")])
def test_whatever_fails_ends_nothing(places: Places, error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    places.local_error = error
    publisher = places.publisher()
    publisher.update(state(1))
    drive(places.runtime, publisher, 300)
    assert str(error.args[-1]) in str(publisher.problems()[0])
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1  # once, not with every try
    places.local_error = None
    drive(places.runtime, publisher, 300)
    assert publisher.problems() == ()
    assert same(places.last_local(), state(1))


def test_a_state_that_can_not_be_encoded_ends_nothing(places: Places) -> None:
    publisher = places.publisher()
    publisher.update(replace(state(1), exit_code=4000))
    drive(places.runtime, publisher, 10)
    assert {p.source for p in publisher.problems()} == {"tags", "status.json", "local status file"}
    publisher.update(state(2))
    drive(places.runtime, publisher, 300)
    assert publisher.problems() == ()
    assert same(places.posted(), state(2))


def test_flush_posts_what_waits(places: Places) -> None:
    publisher = places.publisher()
    publisher.update(state(1))
    publisher.turn()
    publisher.update(state(2))
    publisher.turn()
    assert not same(places.posted(), state(2))
    assert publisher.flush(5.0)
    assert same(places.posted(), state(2))
    assert same(decoded(places.remote[-1][1]), state(2))
    calls = len(places.tags.calls)
    assert publisher.flush(5.0)
    assert len(places.tags.calls) == calls


def test_flush_gives_up_in_time(places: Places) -> None:
    places.tags = TagStore(places.runtime.monotonic, [Fate.LOST] * 100)
    places.tags.lags = (1e9,)
    publisher = places.publisher()
    publisher.update(state(1))
    began = places.runtime.monotonic()
    assert not publisher.flush(5.0)
    assert 5.0 <= places.runtime.monotonic() - began < 5.1
    assert 2 <= len(places.tags.calls) <= 6
    assert same(places.last_local(), state(1))


class Stopping(TagStore):
    """Stops its publisher once a step was posted."""

    def __init__(self, clock: Callable[[], float], step: str) -> None:
        super().__init__(clock)
        self._step = step
        self.stop: Callable[[], None] = lambda: None

    def create(self, tags: object) -> None:
        assert isinstance(tags, dict)
        super().create(tags)
        if tags[contract.STEP] == self._step:
            self.stop()


def test_run_publishes_until_it_is_stopped() -> None:
    runtime = ThreadRuntime()
    store = Stopping(runtime.monotonic, "3")
    local: list[bytes] = []
    publisher = Publisher(runtime, tags=store, status=local.append, memory=Facts(), write_local=local.append)
    store.stop = publisher.stop
    task = runtime.spawn("publisher", publisher.run)
    publisher.update(state(1, Phase.STARTING))
    publisher.update(state(2))
    publisher.update(state(3, Phase.FINISHED))
    assert task.join(60)
    assert task.error is None
    assert store.now[contract.PHASE] == "finished"


def test_flush_beside_run_waits_for_the_other_tasks() -> None:
    runtime = ThreadRuntime()
    store = TagStore(runtime.monotonic)
    remote: list[bytes] = []
    publisher = Publisher(runtime, tags=store, status=remote.append, memory=Facts(), write_local=lambda _: None)
    task = runtime.spawn("publisher", publisher.run)
    publisher.update(state(1))
    assert publisher.flush(60)
    publisher.update(state(2))
    assert publisher.flush(60)
    assert same(decoded(remote[-1]), state(2))
    assert store.now[contract.STEP] == "2"
    publisher.stop()
    assert task.join(60)
