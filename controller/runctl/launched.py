"""`launch.json`: what a run was launched with and the run spec does not say, so that `resume` can launch alike."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from runctl_agent.contract.document import Fields, array, boolean, count, encode, parse, seconds, text, total
from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.names import line, matching

VERSION = 1
_NONE = "none"

_token = matching(r"[!-~]{1,64}", "a client token of 1 to 64 printable ASCII characters")


@dataclass(frozen=True, slots=True)
class Launched:
    """`token` is the ClientToken of the newest RunInstances, begun `at` (whole seconds since the epoch); `disk` is in GiB."""

    instance_type: str
    image: str = ""
    spot: bool = False
    key_name: str = ""
    subnet: str = ""
    security_groups: tuple[str, ...] = ()
    profile: str = ""  # name or ARN of the instance profile
    region: str = ""
    disk: int = 0  # 0: as large as the image's own
    owner: str = ""
    recover: bool = False  # in a group of its own, which replaces what dies
    more_types: tuple[str, ...] = ()  # what that may take instead
    token: str = _NONE
    at: int = 0

    def begun(self, token: str, at: int) -> Launched:
        """The same, for the next RunInstances."""
        return replace(self, token=token, at=at)


def encode_launched(launched: Launched) -> bytes:
    """Raises ValueError for what `decode_launched` would refuse."""
    plain: dict[str, object] = {"version": VERSION}
    plain.update((field.name, getattr(launched, field.name)) for field in fields(launched))
    plain["security_groups"] = list(launched.security_groups)
    plain["more_types"] = list(launched.more_types)
    return encode(plain, _launched)


def decode_launched(body: bytes) -> Launched | Malformed:
    return total(lambda given: _launched(Fields(parse(given))), body)


def _launched(given: Fields) -> Launched:
    given.version(VERSION)
    return Launched(
        instance_type=given.need("instance_type", line),
        image=given.get("image", line, ""),
        spot=given.get("spot", boolean, False),
        key_name=given.get("key_name", line, ""),
        subnet=given.get("subnet", line, ""),
        security_groups=given.get("security_groups", array(text), ()),
        profile=given.get("profile", line, ""),
        region=given.get("region", line, ""),
        disk=given.get("disk", count, 0),
        owner=given.get("owner", line, ""),
        recover=given.get("recover", boolean, False),
        more_types=given.get("more_types", array(line), ()),
        token=given.need("token", _token),
        at=given.get("at", seconds, 0),
    )
