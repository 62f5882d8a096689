"""What is launched with where no option says otherwise: init, config."""

from __future__ import annotations

from typing import Annotated

import typer

from runctl import options
from runctl.app import put, say
from runctl.documents import Settled, Written
from runctl.options import Json


def init(
    destination: options.Destination = "",
    region: Annotated[str, typer.Option("--region", metavar="REGION", envvar="AWS_REGION", help="Such as us-east-1.")] = "",
    project: options.Project = "",
    instance_type: Annotated[str, typer.Option("--instance-type", metavar="TYPE", help="One, or several with commas.")] = "",
    spot: Annotated[bool, typer.Option("--spot", help="Spot instances.")] = False,
    ami: options.Ami = "",
    role: options.Profile = "",
    force: Annotated[bool, typer.Option("--force", help="Over a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write runctl.yaml, what launch begins with here.

    It holds for this folder and those below. What an option or a variable gives stands in it; the rest is there as comments.
    """
    from runctl.starting import write

    given = {
        "destination": destination,
        "region": region,
        "project": project,
        "instance_type": instance_type,
        "spot": "true" if spot else "",
        "image": ami,
        "role": role,
    }
    path, keys = write({key: value for key, value in given.items() if value}, force=force)
    if as_json:
        put(Written(path=path, settings=keys))
    else:
        say(f"wrote {path}" + (f" with {', '.join(keys)}" if keys else ": every setting in it is a comment yet"))
        say("what is used, and where it comes from: runctl config")


def config(context: typer.Context, as_json: Json = False) -> None:
    """Show what launch begins with, and from where.

    An option goes before the environment, that before runctl.yaml, the nearest from here upward.
    """
    from runctl.settled import defaults_of
    from runctl.starting import settings, settings_text

    defaults = defaults_of(context)
    found = settings(defaults)
    put(Settled(file=defaults.path, settings=found)) if as_json else say(settings_text(found, defaults.path))
