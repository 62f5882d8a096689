"""What the agent and the operator have to be allowed: iam."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from runctl import options
from runctl.app import note, put, say
from runctl.options import Destination, Json

if TYPE_CHECKING:
    from runctl.policies import Policy, Scope

Key = Annotated[
    str, typer.Option("--kms-key", metavar="ARN", help="Of the key that encrypts the bucket, where that is your own.")
]
Role = Annotated[str, typer.Option("--role", metavar="NAME", help="The agent's, which is handed to instances.")]


def agent(
    destination: Destination = "",
    retention: Annotated[bool, typer.Option("--retention", help="It may delete what a run's retention lets go.")] = False,
    images: Annotated[bool, typer.Option("--images", help="It may pull what `runctl docker build --push` has pushed.")] = False,
    role: Role = options.AGENT_ROLE,
    kms_key: Key = "",
    as_json: Json = False,
) -> None:
    """The policy of the role in the instances' profile."""
    from runctl.policies import agent as policy

    found = policy(_scope(destination, kms_key), retention=retention, images=images)
    _print(found, f"aws iam put-role-policy --role-name {role} --policy-name runctl --policy-document file://FILE", as_json)


def controller(destination: Destination = "", role: Role = options.AGENT_ROLE, kms_key: Key = "", as_json: Json = False) -> None:
    """The policy of whoever gives the commands."""
    from runctl.policies import controller as policy

    found = policy(_scope(destination, kms_key), role=role)
    _print(found, "aws iam create-policy --policy-name runctl-controller --policy-document file://FILE", as_json)


def _scope(url: str, key: str) -> Scope:
    """Raises ConfigError."""
    from runctl.policies import Scope, partition_of
    from runctl_agent.contract.keys import parse_destination
    from runctl_agent.contract.malformed import Malformed
    from runctl_agent.errors import ConfigError

    destination = parse_destination(url)
    if isinstance(destination, Malformed):
        why = destination.reason if url else "it says which bucket and prefix are allowed"
        mend = "--destination s3://bucket/prefix, or RUNCTL_DESTINATION"
        raise ConfigError(f"the destination {url!r} is none" if url else "no destination is given", why, mend)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    return Scope(destination, partition_of(region), key)


def _print(policy: Policy, apply: str, as_json: bool) -> None:
    if as_json:
        put(policy)
        return
    import json

    say(json.dumps(policy, indent=2))
    note(f"kept in a FILE, it is put in place by: {apply}")
