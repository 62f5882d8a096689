"""One line of `history/<epoch>/<offset>.jsonl`: a run at one moment, in the few numbers that a report draws."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from dataclasses import fields as fields_of

from .document import Fields, Wrong, between, count, encode, number, optional, parse, seconds, show, text, total
from .malformed import Malformed
from .phases import Phase


@dataclass(frozen=True, slots=True)
class Moment:
    """Sizes in bytes, times in whole seconds since the epoch. Fields that say nothing (their default) are left out."""

    at: int
    phase: Phase
    instance: str = ""
    attempt: int = 0
    step: int | None = None  # of the training, as it says itself
    loss: float | None = None
    safe_step: int | None = None  # of the newest checkpoint that is committed
    commits: int = 0  # under the epoch
    pending_bytes: int = 0
    sent: int = 0  # since the journal began
    rate: int = 0  # bytes per second
    gpu: int | None = None  # percent, mean of all
    cpu: int | None = None  # percent of one core
    notice: str = ""


def encode_moment(moment: Moment) -> bytes:
    """Without the newline. Raises ValueError for what `decode_moment` would refuse."""
    plain: dict[str, object] = {name: getattr(moment, name) for name in _NAMES if getattr(moment, name) != _DEFAULTS.get(name)}
    return encode(plain | {"phase": moment.phase.value}, _read)


def decode_moment(line: bytes) -> Moment | Malformed:
    return total(lambda given: _read(Fields(parse(given))), line)


def moments(body: bytes) -> list[Moment]:
    """Those of a history that was put together; what a crash left of a line is passed by."""
    return [one for line in body.split(b"\n") if line and not isinstance(one := decode_moment(line), Malformed)]


def _read(fields: Fields) -> Moment:
    return Moment(
        at=fields.need("at", seconds),
        phase=fields.need("phase", _phase),
        instance=fields.get("instance", text, ""),
        attempt=fields.get("attempt", count, 0),
        step=fields.get("step", optional(count), None),
        loss=fields.get("loss", optional(number), None),
        safe_step=fields.get("safe_step", optional(count), None),
        commits=fields.get("commits", count, 0),
        pending_bytes=fields.get("pending_bytes", count, 0),
        sent=fields.get("sent", count, 0),
        rate=fields.get("rate", count, 0),
        gpu=fields.get("gpu", optional(between(0, 100)), None),
        cpu=fields.get("cpu", optional(count), None),
        notice=fields.get("notice", text, ""),
    )


_NAMES = tuple(field.name for field in fields_of(Moment))
_DEFAULTS = {field.name: field.default for field in fields_of(Moment) if field.default is not MISSING}


def _phase(value: object) -> Phase:
    try:
        return Phase(text(value))
    except ValueError:
        raise Wrong(f"{show(value)} is not a phase") from None
