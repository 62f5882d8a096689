"""Whether a launch could begin: doctor."""

from __future__ import annotations

import typer

from runctl import options
from runctl.app import put, say
from runctl.options import Destination, Json


def doctor(
    context: typer.Context,
    destination: Destination = "",
    instance_type: options.InstanceType = options.DEFAULT_TYPE,
    gpus: options.Gpus = 0,
    spot: options.Spot = False,
    recover: options.Recover = False,
    ami: options.Ami = "",
    subnet: options.Subnet = "",
    security_group: options.SecurityGroups = None,
    instance_profile: options.Profile = "",
    as_json: Json = False,
) -> None:
    """Try whether a launch could begin; mends for the rest.

    Nothing is launched. In S3 one small object is written, and deleted again.
    """
    from runctl.doctor import Doctor
    from runctl.documents import Examined
    from runctl.draft import owner
    from runctl.launched import Launched
    from runctl.session import Session
    from runctl.settled import defaults_of

    session = Session(destination)
    first, more = options.types(instance_type)
    launched = Launched(
        first,
        ami,
        spot,
        subnet=subnet,
        security_groups=tuple(security_group or ()),
        profile=instance_profile,
        owner=owner(),
        recover=recover,
        more_types=more,
    )
    found = Doctor(session.ec2, session.runtime, launched, destination, gpus, defaults_of(context)).examine()
    failed = [one for one in found if one.error is not None]
    if as_json:
        put(Examined(ok=not failed, findings=[one.plain() for one in found]))
    else:
        for one in found:
            say(str(one))
    if failed and failed[0].error is not None:
        raise typer.Exit(failed[0].error.exit_code)
