"""`runctl:want`: what the controller asks of the agent, in one tag."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .document import Fields, Wrong, encode, parse, seconds, show, text, total
from .malformed import Malformed
from .names import matching

LONGEST = 256
"""Characters of a tag's value."""


class Verb(StrEnum):
    FLUSH = "flush"  # make everything finished durable now
    STOP = "stop"  # end the training, make all durable, post `stopped`
    PRUNE = "prune"  # apply the spec's retention


@dataclass(frozen=True, slots=True)
class Want:
    """A request, done once per nonce, and only by the life that `launch_time` (whole seconds since the epoch) names."""

    verb: Verb
    nonce: str
    launch_time: int


def encode_want(want: Want) -> str:
    """Raises ValueError for what `decode_want` would refuse."""
    plain = {"verb": want.verb.value, "nonce": want.nonce, "launch_time": want.launch_time}
    return encode(plain, _want).decode("ascii")


def decode_want(value: str) -> Want | Malformed:
    return total(_decode, value)


def _decode(value: object) -> Want:
    given = text(value)
    if len(given) > LONGEST:
        raise Wrong(f"longer than {LONGEST} characters")
    return _want(Fields(parse(given.encode("utf-8", "surrogatepass"))))


def _want(fields: Fields) -> Want:
    return Want(fields.need("verb", _verb), fields.need("nonce", _nonce), fields.need("launch_time", _launch_time))


_nonce = matching(r"[A-Za-z0-9_.-]{1,64}", "a nonce of 1 to 64 characters from a-z, A-Z, 0-9, _ . -")


def _verb(value: object) -> Verb:
    try:
        return Verb(text(value))
    except ValueError:
        raise Wrong(f"{show(value)} is not one of {', '.join(Verb)}") from None


def _launch_time(value: object) -> int:
    """Seconds since the epoch, or the time as DescribeInstances writes it (RFC 3339)."""
    if not isinstance(value, str):
        return seconds(value)
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise Wrong(f"{show(value)} is not a time") from None
    if at.tzinfo is None:
        raise Wrong(f"{show(value)} has no time zone")
    return seconds(int(at.timestamp()))
