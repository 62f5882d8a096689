"""The textfile of metrics: what stands in it is what the state says, once each, as Prometheus reads it."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from prometheus_client.parser import text_string_to_metric_families as parsed

from runctl_agent.contract.phases import ConditionName, Phase
from runctl_agent.contract.status import State
from runctl_agent.errors import WrongStateError
from runctl_agent.metrics import FAMILIES, exposition, textfile
from tests.contract.strategies import RELAXED, states
from tests.contract.test_status import EXAMPLE
from tests.fakes.agent_state import drive, state
from tests.fakes.places import Places

GOLDEN = Path(__file__).parent / "golden" / "runctl.prom"
BARE = State("r", Phase.STARTING, "", 0, 0, 100, "0.1.0")

Series = tuple[str, tuple[tuple[str, str], ...]]


def read(text: str) -> dict[Series, float]:
    """Every series, by the parser of Prometheus' own client. One that stands twice is no textfile."""
    found: dict[Series, float] = {}
    for family in parsed(text):
        for sample in family.samples:
            assert sample.timestamp is None, "the textfile collector refuses the whole file"
            series = sample.name, tuple(sorted(sample.labels.items()))
            assert series not in found
            found[series] = float(sample.value)
    return found


def value(found: dict[Series, float], name: str, run: str, **labels: str) -> float | None:
    return found.get((name, tuple(sorted({"run": run, **labels}.items()))))


def test_golden() -> None:
    assert exposition(EXAMPLE) == GOLDEN.read_text()


@RELAXED
@given(states)
def test_every_value_is_the_states(given: State) -> None:
    found = read(exposition(given))
    run = given.run

    def of(name: str, **labels: str) -> float | None:
        return value(found, f"runctl_{name}", run, **labels)

    assert {phase: of("phase", phase=phase.value) for phase in Phase} == {phase: float(phase is given.phase) for phase in Phase}
    standing = {condition.name for condition in given.conditions}
    assert {name: of("condition", condition=name.value) for name in ConditionName} == {
        name: float(name in standing) for name in ConditionName
    }
    assert of("build_info", version=given.agent_version, instance_id=given.instance) == 1
    assert of("notice") == (1 if given.notice else 0)
    always = {
        "heartbeat_timestamp_seconds": given.heartbeat,
        "epoch": given.epoch,
        "attempt": given.attempt,
        "commits_total": given.commits,
        "pending_checkpoints": given.pending_checkpoints,
        "pending_bytes": given.pending_bytes,
        "send_failures": given.failures,
        "owed_aborts": given.owed_aborts,
        "training_seconds_total": given.ran,
        "lag_seconds": max(0, given.heartbeat - given.pending_since) if given.pending_since is not None else 0,
    }
    sometimes = {
        "exit_code": given.exit_code,
        "notice_timestamp_seconds": given.notice_at,
        "checkpoint_step": given.step,
        "last_commit_timestamp_seconds": given.committed_at,
        "pending_since_timestamp_seconds": given.pending_since,
        "eta_seconds": given.eta,
        "sent_bytes_total": given.sent_total,
        "retry_timestamp_seconds": given.retry_at,
        "train_step": given.train_step,
        "train_steps": given.train_steps,
        "train_epoch": given.train_epoch,
        "train_loss": given.loss,
        "training_cpu_cores": given.cpu / 100 if given.cpu is not None else None,
        "training_resident_memory_bytes": given.rss,
        "checkpoint_disk_free_bytes": given.disk_free,
        "gpu_utilization_ratio": given.gpu / 100 if given.gpu is not None else None,
        "gpu_memory_used_bytes": given.gpu_memory,
        "gpu_temperature_celsius": given.gpu_heat,
    }
    for name, expected in {**always, **sometimes}.items():
        assert of(name) == (None if expected is None else float(expected)), name
    known = {"phase", "condition", "build_info", "notice", *always, *sometimes}
    assert {family.name for family in FAMILIES} == {f"runctl_{name}" for name in known}


@RELAXED
@given(states)
def test_every_series_is_said_to_be_what_it_is(given: State) -> None:
    kinds = {family.name: family.kind for family in FAMILIES}
    for family in parsed(exposition(given)):
        name = family.name + ("_total" if family.type == "counter" else "")
        assert family.type == kinds[name]
        assert family.documentation
        assert family.samples


def test_what_is_not_known_has_no_series() -> None:
    text = exposition(BARE)
    for absent in ("exit_code", "checkpoint_step", "train_", "gpu_", "retry_", "pending_since", "sent_bytes", "None", "nan"):
        assert absent not in text


def test_a_label_can_hold_anything() -> None:
    """No state that is read back has such a version; the file must not break even then."""
    odd = 'a"b\\c\nd'
    found = read(exposition(replace(BARE, agent_version=odd)))
    assert value(found, "runctl_build_info", "r", version=odd, instance_id="") == 1


def test_every_number_of_the_state_is_shown_or_left_out_knowingly() -> None:
    told = {
        field.name: replace(EXAMPLE, **{field.name: getattr(EXAMPLE, field.name) + 1})
        for field in fields(State)
        if isinstance(getattr(EXAMPLE, field.name), int | float) and not isinstance(getattr(EXAMPLE, field.name), str)
    }
    unseen = {name for name, other in told.items() if exposition(other) == exposition(EXAMPLE)}
    assert unseen == {"boot_time", "generation", "rate", "sending_bytes", "sent_bytes", "trainer_pid"}


def test_who_can_not_write_says_where_and_what_mends_it() -> None:
    def full(path: str, body: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(WrongStateError, match=r"/x/runctl\.prom") as caught:
        textfile("/x/runctl.prom", full)(BARE)
    assert "No space left on device" in caught.value.why
    assert "metrics.textfile" in caught.value.mend


# --- published with all else ---


def test_the_file_is_written_with_the_heartbeat_of_its_writing() -> None:
    places = Places()
    written: list[str] = []
    publisher = places.publisher(metrics=lambda state: written.append(exposition(state)))
    publisher.update(state(1))
    drive(places.runtime, publisher, 200)
    beats = [value(read(text), "runctl_heartbeat_timestamp_seconds", state(1).run) for text in written]
    assert beats == sorted(beats, key=lambda beat: beat or 0)
    assert len(beats) >= 4  # every 60 s, and the first
    assert beats[-1] is not None
    assert places.runtime.now() - beats[-1] <= 60


def test_a_file_that_can_not_be_written_is_a_problem_and_holds_up_nothing() -> None:
    places = Places()
    broken = True
    written: list[State] = []

    def write(told: State) -> None:
        if broken:
            raise WrongStateError("the metrics could not be written", "Permission denied", "allow it")
        written.append(told)

    publisher = places.publisher(metrics=write)
    publisher.update(state(1))
    drive(places.runtime, publisher, 5)
    assert [problem.source for problem in publisher.problems()] == ["metrics"]
    assert not any(problem.denied for problem in publisher.problems())
    publisher.update(state(2))
    before = places.runtime.monotonic()
    assert publisher.flush(60.0)
    assert places.runtime.monotonic() - before < 60  # of the virtual clock: it did not wait for the metrics
    assert places.last_local().step == 2
    broken = False
    drive(places.runtime, publisher, 300)
    assert publisher.problems() == ()
    assert written[-1].step == 2


def test_without_it_nothing_is_written() -> None:
    places = Places()
    publisher = places.publisher()
    publisher.update(state(1))
    drive(places.runtime, publisher, 200)
    assert not publisher.problems()
