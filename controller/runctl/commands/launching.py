"""A training begins: launch, and resume for the next attempt of one that ended."""

from __future__ import annotations

from typing import Annotated

import typer

from runctl import options
from runctl.options import Destination, Json, Run

from .telling import planned, told, waited


def launch(
    context: typer.Context,
    script: options.Script,
    arguments: options.Arguments = None,
    run: options.Name = "",
    destination: Destination = "",
    config: options.Config = "",
    project: options.Project = "",
    checkpoints: options.Checkpoints = None,
    instance_type: options.InstanceType = options.DEFAULT_TYPE,
    gpus: options.Gpus = 0,
    spot: options.Spot = False,
    recover: options.Recover = False,
    ami: options.Ami = "",
    key_name: options.KeyName = "",
    subnet: options.Subnet = "",
    security_group: options.SecurityGroups = None,
    instance_profile: options.Profile = "",
    disk: options.Disk = 0,
    env: options.Env = None,
    on_finish: options.OnFinish = "",
    wait: options.Wait = False,
    dry_run: options.DryRun = False,
    as_json: Json = False,
) -> None:
    """Check everything, send the code along, launch one instance."""
    from dataclasses import replace

    from runctl.draft import Asked, owner
    from runctl.launched import Launched
    from runctl.session import Session
    from runctl.settled import origins, spec_defaults

    session = Session()
    watched, variables, groups = tuple(checkpoints or ()), tuple(env or ()), tuple(security_group or ())
    asked = Asked(script, tuple(arguments or ()), run, destination, config, project, watched, variables, on_finish)
    asked = replace(asked, **spec_defaults(context, asked), origins=origins(context), gpus=gpus)
    first, more = options.types(instance_type)
    launched = Launched(
        first, ami, spot, key_name, subnet, groups, instance_profile, disk=disk, owner=owner(), recover=recover, more_types=more
    )
    show = (lambda plan: planned(plan, as_json=as_json)) if dry_run else None
    begun = session.launch().run(asked, launched, lambda one: told(one, as_json=as_json, wait=wait), dry=show)
    if begun is not None and wait:
        waited(session, begun.spec.run, lambda: session.target_of(begun), "0", options.EVERY, as_json=as_json)


def resume(
    run: Run,
    destination: Destination = "",
    instance_type: Annotated[str | None, typer.Option("--instance-type", metavar="TYPE")] = None,
    spot: Annotated[bool | None, typer.Option("--spot/--on-demand")] = None,
    ami: Annotated[str | None, typer.Option("--ami", metavar="ID")] = None,
    key_name: Annotated[str | None, typer.Option("--key-name", metavar="NAME")] = None,
    subnet: Annotated[str | None, typer.Option("--subnet", metavar="ID")] = None,
    security_group: options.SecurityGroup = None,
    instance_profile: Annotated[str | None, typer.Option("--instance-profile", "--role", metavar="NAME")] = None,
    disk: Annotated[int | None, typer.Option("--disk", metavar="GIB", min=0)] = None,
    wait: options.Wait = False,
    dry_run: options.DryRun = False,
    as_json: Json = False,
) -> None:
    """Launch the next attempt of a run that has ended.

    Of a run of which no instance lives; options not given are as before.
    """
    from runctl.resume import Changes
    from runctl.session import Session

    session = Session(destination)
    groups = tuple(security_group) if security_group else None
    first, more = options.types(instance_type) if instance_type else (None, None)
    changes = Changes(first, ami, spot, key_name, subnet, groups, instance_profile, disk, more)
    target, show = session.target(run), (lambda plan: planned(plan, as_json=as_json)) if dry_run else None
    begun = session.resume().run(target, changes, lambda one: told(one, as_json=as_json, wait=wait), dry=show)
    if begun is not None and wait:
        waited(session, begun.spec.run, lambda: session.target_of(begun), "0", options.EVERY, as_json=as_json)
