"""The state that an agent publishes: in the tags' slots and, whole, as `status.json`."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from dataclasses import fields as fields_of

from .document import Fields, Wrong, array, between, count, encode, number, optional, parse, seconds, show, text, total
from .keys import LAST_EPOCH
from .malformed import Malformed
from .names import component, matching, nonce, run_name
from .phases import Condition, ConditionName, Phase


@dataclass(frozen=True, slots=True)
class State:
    """What the agent knows. Times are whole seconds since the epoch, sizes bytes, `rate` bytes per second."""

    run: str
    phase: Phase
    instance: str  # empty outside EC2
    boot_time: int
    generation: int
    heartbeat: int
    agent_version: str
    epoch: int = 0  # 0: not taken yet
    attempt: int = 0
    conditions: tuple[Condition, ...] = ()
    checkpoint: str | None = None  # newest committed one: name
    step: int | None = None
    committed_at: int | None = None
    commits: int = 0  # in this epoch
    pending_checkpoints: int = 0
    pending_bytes: int = 0
    pending_since: int | None = None  # when the oldest of it was finished
    rate: int = 0  # over the last minute, of the time in which there was something to send
    eta: int | None = None  # seconds until nothing is pending, at this rate
    sending: str | None = None  # the checkpoint that is being sent: name
    sending_bytes: int = 0  # of it
    sent_bytes: int = 0  # of it, that S3 has already
    failures: int = 0  # to send, in a row
    retry_at: int | None = None  # when it is tried again
    owed_aborts: int = 0  # multipart uploads of the agent's own that nobody will complete, and that are still there
    exit_code: int | None = None
    error: str = ""  # the last one, in one line
    want: str = ""  # nonce of the last `runctl:want` acted on
    trainer_pid: int | None = None
    notice: str = ""  # what takes the machine away, such as "spot terminate"; empty: nothing does
    notice_at: int | None = None  # when it is gone
    ran: int = 0  # seconds of living training, of the whole run as far as they are known
    train_step: int | None = None  # this and the next three as the training itself says
    train_steps: int | None = None  # how many there will be
    train_epoch: float | None = None
    loss: float | None = None
    cpu: int | None = None  # of the training: percent of one core
    rss: int | None = None  # of the training
    disk_free: int | None = None  # where its checkpoints go
    gpu: int | None = None  # utilisation in percent, the mean of all
    gpu_memory: int | None = None  # used, of all
    gpu_heat: int | None = None  # degrees Celsius, of the hottest
    sent_total: int | None = None  # bytes, since this machine's journal of the run began
    details: tuple[str, ...] = ()  # newest first; what a state too large drops, oldest first


VITALS = (
    "train_step",
    "train_steps",
    "train_epoch",
    "loss",
    "cpu",
    "rss",
    "disk_free",
    "gpu",
    "gpu_memory",
    "gpu_heat",
    "sent_total",
)
"""What is measured: it changes all the time, and is told with what else there is to tell."""

VERSION = 1
LONGEST_TEXT = 64
"""Characters of an instance id, an agent version, a nonce and a notice; so that the smallest form of any state fits the tags."""


def plain_state(state: State) -> dict[str, object]:
    """The document of a state, with every field."""
    plain: dict[str, object] = {"version": VERSION}
    plain.update((name, getattr(state, name)) for name in _NAMES)
    plain["phase"] = state.phase.value
    plain["conditions"] = [{"name": c.name.value, "since": c.since, "message": c.message} for c in state.conditions]
    plain["details"] = list(state.details)
    return plain


def brief_state(state: State) -> dict[str, object]:
    """The document without what a reader takes for granted: room in the tags is short."""
    granted = {name for name, default in _DEFAULTS.items() if getattr(state, name) == default}
    return {name: value for name, value in plain_state(state).items() if name not in granted}


def encode_state(state: State) -> bytes:
    """`status.json`: canonical compact JSON. Raises ValueError for what `decode_state` would refuse."""
    return encode(plain_state(state), read_state)


def decode_state(body: bytes) -> State | Malformed:
    return total(lambda given: read_state(Fields(parse(given))), body)


def read_state(fields: Fields) -> State:
    fields.version(VERSION)
    return State(
        run=fields.need("run", run_name),
        phase=fields.need("phase", _phase),
        instance=fields.need("instance", _label),
        boot_time=fields.need("boot_time", seconds),
        generation=fields.need("generation", count),
        heartbeat=fields.need("heartbeat", seconds),
        agent_version=fields.need("agent_version", _label),
        epoch=fields.get("epoch", between(0, LAST_EPOCH), 0),
        attempt=fields.get("attempt", count, 0),
        conditions=fields.get("conditions", _conditions, ()),
        checkpoint=fields.get("checkpoint", optional(component), None),
        step=fields.get("step", optional(count), None),
        committed_at=fields.get("committed_at", optional(seconds), None),
        commits=fields.get("commits", count, 0),
        pending_checkpoints=fields.get("pending_checkpoints", count, 0),
        pending_bytes=fields.get("pending_bytes", count, 0),
        pending_since=fields.get("pending_since", optional(seconds), None),
        rate=fields.get("rate", count, 0),
        eta=fields.get("eta", optional(count), None),
        sending=fields.get("sending", optional(component), None),
        sending_bytes=fields.get("sending_bytes", count, 0),
        sent_bytes=fields.get("sent_bytes", count, 0),
        failures=fields.get("failures", count, 0),
        retry_at=fields.get("retry_at", optional(seconds), None),
        owed_aborts=fields.get("owed_aborts", count, 0),
        exit_code=fields.get("exit_code", optional(between(0, 255)), None),
        error=fields.get("error", text, ""),
        want=fields.get("want", nonce, ""),
        trainer_pid=fields.get("trainer_pid", optional(count), None),
        notice=fields.get("notice", _label, ""),
        notice_at=fields.get("notice_at", optional(seconds), None),
        ran=fields.get("ran", count, 0),
        train_step=fields.get("train_step", optional(count), None),
        train_steps=fields.get("train_steps", optional(count), None),
        train_epoch=fields.get("train_epoch", optional(number), None),
        loss=fields.get("loss", optional(number), None),
        cpu=fields.get("cpu", optional(count), None),
        rss=fields.get("rss", optional(count), None),
        disk_free=fields.get("disk_free", optional(count), None),
        gpu=fields.get("gpu", optional(between(0, 100)), None),
        gpu_memory=fields.get("gpu_memory", optional(count), None),
        gpu_heat=fields.get("gpu_heat", optional(count), None),
        sent_total=fields.get("sent_total", optional(count), None),
        details=fields.get("details", array(text), ()),
    )


_NAMES = tuple(field.name for field in fields_of(State))
_DEFAULTS = {field.name: field.default for field in fields_of(State) if field.default is not MISSING}
_label = matching(rf"[ -~]{{0,{LONGEST_TEXT}}}", f"at most {LONGEST_TEXT} printable ASCII characters")


def _phase(value: object) -> Phase:
    try:
        return Phase(text(value))
    except ValueError:
        raise Wrong(f"{show(value)} is not a phase") from None


def _conditions(value: object) -> tuple[Condition, ...]:
    found = array(_condition)(value)
    if len({condition.name for condition in found}) != len(found):
        raise Wrong("one condition stands twice")
    return found


def _condition(value: object) -> Condition:
    fields = Fields(value)
    return Condition(fields.need("name", _condition_name), fields.need("since", seconds), fields.need("message", text))


def _condition_name(value: object) -> ConditionName:
    try:
        return ConditionName(text(value))
    except ValueError:
        raise Wrong(f"{show(value)} is not a condition") from None
