"""How a run stands, in some lines for people: what its agent told is given as of then, and what it means now. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from runctl_agent.contract.phases import TERMINAL
from runctl_agent.contract.status import State
from runctl_agent.contract.summary import age, progress, size

from .cost import paid, so_far
from .known import Known
from .moment import Moments, utc
from .replacing import Replacing, Standing
from .sight import phase, standing
from .silence import reasons, silent_for
from .verdict import Outcome, judge


def status_text(found: Standing, when: Moments) -> str:
    """How the run stands is the first line."""
    return _text(found.known, found.replacing, when)


def status_text_of(known: Known, when: Moments) -> str:
    """The same where nobody asked whether anything is replaced."""
    return _text(known, None, when)


def _text(known: Known, next_one: Replacing | None, when: Moments) -> str:
    lines = [_head(known, when), *_told(known, when)]
    if known.machine is None:
        lines.append("no instance: EC2 has none of it" + ("" if next_one is not None else " any more"))
    else:
        lines += _instance(known, when)
    if next_one is not None:
        lines.append(next_one.text)
    if known.destination:
        lines.append(f"in {known.destination}/{known.run}/")
    return "\n  ".join(lines)


def _head(known: Known, when: Moments) -> str:
    ended, state = judge(known), known.state
    if ended is not None and ended.outcome is Outcome.GONE:
        return f"{known.run}: gone, last known: {phase(known)}"
    silent = silent_for(known, when.now)
    if silent is not None and state is not None and known.current:
        return f"{known.run}: silent for {age(silent)}, last known: {phase(known)}"
    parts = [f"{known.run}: {phase(known)}"]
    if state is not None and known.current:
        parts += [*_progress_of_training(state), *([] if state.exit_code is None else [f"exit code {state.exit_code}"])]
    return ", ".join(parts)


def _progress_of_training(state: State) -> Iterator[str]:
    if state.phase in TERMINAL:
        return
    if state.train_step is not None:
        yield f"step {state.train_step}" + (f" of {state.train_steps}" if state.train_steps else "")
    if state.train_epoch is not None:
        yield f"epoch {state.train_epoch:g}"
    if state.loss is not None:
        yield f"loss {state.loss:.4g}"


def _told(known: Known, when: Moments) -> Iterator[str]:
    state, machine = known.state, known.machine
    if state is not None and not known.current:
        yield f"what is known is of another life of its instance: {state.phase.value}, {standing(known, when)}"
    elif state is not None:
        yield standing(known, when)
        yield from _details(known, state, when)
    elif machine is not None and (plain := {key: value for key, value in machine.posted.plain.items() if value}):
        yield "its tags say, and prove nothing: " + ", ".join(f"{key}={value}" for key, value in sorted(plain.items()))
    if known.reason and machine is not None and (state is not None or any(machine.posted.plain.values())):
        yield f"there may be something newer: {known.reason}"
    yield from reasons(known, when.now)


def _details(known: Known, state: State, when: Moments) -> Iterator[str]:
    """What goes on is told where it may still go on; its times are as of the telling."""
    ended = judge(known)
    if ended is not None and ended.outcome is Outcome.GONE:
        yield from _left(known, state)
    elif silent_for(known, when.now) is None:
        yield from progress(state, state.heartbeat)
        yield from _vitals(state)
    if state.notice and ended is None:
        gone = "" if state.notice_at is None else f", gone at {utc(state.notice_at)}"
        yield f"notice: {state.notice}{gone}"
    for condition in state.conditions:
        yield f"{condition.name.value}: {condition.message} ({_since(condition.since, when)})"
    if state.error:
        yield f"last error: {state.error}"
    if state.attempt:
        trained = f", trained for {age(state.ran)} in all" if state.ran else ""
        yield f"attempt {state.attempt}, epoch {state.epoch}, {state.commits} committed in it{trained}"


def _since(at: int, when: Moments) -> str:
    return f"since {utc(at)}" if when.exact else f"for {when.age(at)}"


def _left(known: Known, state: State) -> Iterator[str]:
    """What became of what was not sent."""
    if not state.pending_bytes or known.machine is None:
        return
    if known.machine.power == "stopped":
        yield f"what was not sent lies on its disk still: runctl start {known.run} goes on sending it"
    else:
        yield "what was not sent is gone with its disk"


def _vitals(state: State) -> Iterator[str]:
    found = []
    if state.gpu is not None:
        memory = "" if state.gpu_memory is None else f", {size(state.gpu_memory)} used"
        heat = "" if state.gpu_heat is None else f", {state.gpu_heat} °C"
        found.append(f"GPU {state.gpu} %{memory}{heat}")
    if state.cpu is not None:
        found.append(f"CPU {state.cpu} % of a core")
    if state.rss is not None:
        found.append(f"{size(state.rss)} of memory")
    if state.disk_free is not None:
        found.append(f"{size(state.disk_free)} of disk free")
    if found and state.phase not in TERMINAL:
        yield "; ".join(found)


def _instance(known: Known, when: Moments) -> Iterator[str]:
    machine = known.machine
    if machine is None:
        return
    kind = machine.type + (", spot" if machine.spot else "")
    reason = f" ({machine.reason})" if machine.reason and machine.power != "running" else ""
    launched = utc(machine.launch_time) if when.exact else when.ago(machine.launch_time)
    yield f"instance {machine.id}: {machine.power}{reason}, {kind}, {machine.zone}, launched {launched}"
    cost, seconds = so_far(known, when.now), paid(known, when.now)
    if cost is not None and seconds is not None:
        about, on_demand = ("less than" if cost.upper else "about"), (" on demand" if cost.bound else "")
        yield f"{about} {cost.shown} so far: {age(int(seconds))} at ${cost.hourly:,.3f} an hour{on_demand}"
