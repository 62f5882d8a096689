"""The rules of EC2 that moto does not keep. Pure: each raises `Refused` with EC2's code, or does nothing."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from .refusal import Refused

LONGEST_KEY, LONGEST_VALUE, MOST_TAGS = 127, 256, 50
LARGEST_USER_DATA = 16 * 1024
LONGEST_TOKEN = 64
RESERVED = "aws:"

_INSTANCE_ID = re.compile(r"i-([0-9a-f]{8}|[0-9a-f]{17})")
_TEMPLATE = re.compile(r"[a-zA-Z0-9().\-/_]{3,128}")
_METADATA_KEY = re.compile(r"[a-zA-Z0-9+\-=.,_:@]+")
_NO_METADATA_KEYS = frozenset({".", "..", "_index"})


def check_tags(tags: Mapping[str, str]) -> None:
    """Lengths in Unicode characters, and the reserved prefix: "Tag your Amazon EC2 resources", Tag restrictions."""
    for key, value in tags.items():
        if not key:
            raise Refused("InvalidParameterValue", "Tag key cannot be empty.")
        if len(key) > LONGEST_KEY:
            raise Refused("InvalidParameterValue", f"Tag key exceeds the maximum length of {LONGEST_KEY} characters")
        if len(value) > LONGEST_VALUE:
            raise Refused("InvalidParameterValue", f"Tag value exceeds the maximum length of {LONGEST_VALUE} characters")
        if key.lower().startswith(RESERVED):
            raise Refused("InvalidParameterValue", f"Tag keys starting with '{RESERVED}' are reserved for internal use")


def check_room(existing: Mapping[str, str], tags: Mapping[str, str]) -> None:
    """50 tags a resource, of which `aws:` ones do not count: "Tag your Amazon EC2 resources", Tag restrictions."""
    if sum(1 for key in {**existing, **tags} if not key.startswith(RESERVED)) > MOST_TAGS:
        raise Refused("TagLimitExceeded", f"The maximum number of Tags for a resource has been reached. ({MOST_TAGS})")


def check_metadata_keys(keys: Collection[str]) -> None:
    """Where the tags are in IMDS: "View tags for your EC2 instances using instance metadata", Considerations."""
    for key in keys:
        if not key.startswith(RESERVED) and (key in _NO_METADATA_KEYS or not _METADATA_KEY.fullmatch(key)):
            pattern = r"([0-9a-zA-Z\-_+=,.@:]{1,255})"
            raise Refused(
                "InvalidParameterValue",
                f"'{key}' is not a valid tag key. Tag keys must match pattern {pattern}, "
                "and must not be a reserved name ('.', '..', '_index')",
            )


def check_instance_ids(ids: Collection[str], known: Collection[str]) -> None:
    """InvalidInstanceID.Malformed and .NotFound: "Error codes for the Amazon EC2 API"."""
    for id_ in ids:
        if not _INSTANCE_ID.fullmatch(id_):
            raise Refused("InvalidInstanceID.Malformed", f'Invalid id: "{id_}"')
    missing = [id_ for id_ in ids if id_ not in known]
    if missing:
        what = f"ID '{missing[0]}' does" if len(missing) == 1 else f"IDs '{', '.join(missing)}' do"
        raise Refused("InvalidInstanceID.NotFound", f"The instance {what} not exist")


def check_user_data(encoded: str) -> None:
    """16 KB "in raw form, before it is base64-encoded": "Run commands when you launch an EC2 instance with user data input"."""
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise Refused("InvalidParameterValue", "Invalid BASE64 encoding of user data.") from None
    if len(raw) > LARGEST_USER_DATA:
        raise Refused("InvalidParameterValue", f"User data is limited to {LARGEST_USER_DATA} bytes")


def check_instance_type(name: str, known: Collection[str]) -> None:
    """InvalidParameterValue: "Error codes for the Amazon EC2 API"; moto has a code for it that EC2 has not."""
    if name and name not in known:
        raise Refused("InvalidParameterValue", f"Invalid value '{name}' for InstanceType.")


def check_capacity(name: str, exhausted: Collection[str]) -> None:
    """InsufficientInstanceCapacity: "Error codes for the Amazon EC2 API"."""
    if name in exhausted:
        raise Refused("InsufficientInstanceCapacity", f"We currently do not have sufficient {name} capacity in this zone.", 500)


def check_template_name(name: str) -> None:
    """CreateLaunchTemplate (Amazon EC2 API Reference)."""
    if not _TEMPLATE.fullmatch(name):
        raise Refused(
            "InvalidLaunchTemplateName.MalformedException",
            "A launch template name must be between 3 and 128 characters, and may contain letters, numbers, and ().-/_",
        )


def check_profile(name: str, known: Collection[str]) -> None:
    """IamInstanceProfileSpecification (Amazon EC2 API Reference); moto answers with IAM's code."""
    if name and name not in known:
        raise Refused(
            "InvalidParameterValue",
            f"Value ({name}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
        )


def check_start(id_: str, state: str) -> None:
    """Only what is stopped starts, what runs stays so: IncorrectInstanceState, "Error codes for the Amazon EC2 API"."""
    if state not in ("stopped", "running", "pending"):
        raise Refused("IncorrectInstanceState", f"The instance '{id_}' is not in a state from which it can be started.")


def check_stop(id_: str, state: str, *, one_time_spot: bool) -> None:
    """StopInstances (API Reference) and, of one-time spot: "Manage your Spot Instances", Stop a Spot Instance."""
    if state not in ("running", "stopping", "stopped"):
        raise Refused("IncorrectInstanceState", f"This instance '{id_}' is not in a state from which it can be stopped.")
    if one_time_spot:
        raise Refused(
            "UnsupportedOperation",
            f"You can't stop the Spot Instance '{id_}' because it is associated with a one-time Spot Instance request. "
            "You can only stop Spot Instances associated with persistent Spot Instance requests.",
        )


def check_reboot(id_: str, state: str) -> None:
    """RebootInstances (API Reference) reboots only what runs."""
    if state != "running":
        raise Refused("IncorrectInstanceState", f"The instance '{id_}' is not in the 'running' state.")


@dataclass
class ClientTokens:
    """The answers given to RunInstances, by token: "Ensuring idempotency in Amazon EC2 API requests"."""

    _given: dict[str, tuple[frozenset[tuple[str, str]], bytes]] = field(default_factory=dict)

    def known(self, token: str, parameters: Mapping[str, str]) -> bytes | None:
        """The first answer to the same request. Raises Refused for another request with that token, or no token at all."""
        if len(token) > LONGEST_TOKEN or not token.isascii():
            raise Refused("InvalidParameterValue", f"Client token must be at most {LONGEST_TOKEN} ASCII characters")
        before = self._given.get(token)
        if before is None:
            return None
        if before[0] != frozenset(parameters.items()):
            raise Refused(
                "IdempotentParameterMismatch",
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
            )
        return before[1]

    def remember(self, token: str, parameters: Mapping[str, str], answer: bytes) -> None:
        self._given[token] = (frozenset(parameters.items()), answer)
