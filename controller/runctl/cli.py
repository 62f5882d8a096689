"""The command line: parse, call, render. Exit codes and errors: DESIGN.md section 8, exits.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .app import confirm, guarded, note, put, say
from .documents import Checkpoints, Runs
from .options import Destination, Json, Run, Timeout, seconds

if TYPE_CHECKING:
    from .fleet import Machine
    from .launch import Begun
    from .resolve import Target
    from .session import Session

# The libraries of a command are imported by that command: `--help` loads neither boto3 nor rich.

app = typer.Typer(
    name="runctl",
    help="Launches trainings on EC2 and follows them. It keeps no state: nothing must keep running.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """The entry point."""
    guarded(app)


@app.callback()
def _root(version: options.Version = False) -> None:
    pass


@app.command()
def launch(
    script: options.Script,
    arguments: options.Arguments = None,
    run: options.Name = "",
    destination: Destination = "",
    config: options.Config = "",
    project: options.Project = "",
    checkpoints: options.Checkpoints = None,
    instance_type: options.InstanceType = options.DEFAULT_TYPE,
    spot: options.Spot = False,
    recover: options.Recover = False,
    ami: options.Ami = "",
    key_name: options.KeyName = "",
    subnet: options.Subnet = "",
    security_group: options.SecurityGroup = None,
    instance_profile: options.Profile = "",
    disk: options.Disk = 0,
    env: options.Env = None,
    on_finish: options.OnFinish = "",
    wait: options.Wait = False,
    dry_run: options.DryRun = False,
    as_json: Json = False,
) -> None:
    """Check everything, send the code along, launch one instance."""
    from .draft import Asked, owner
    from .launched import Launched
    from .session import Session

    session = Session()
    watched, variables, groups = tuple(checkpoints or ()), tuple(env or ()), tuple(security_group or ())
    asked = Asked(script, tuple(arguments or ()), run, destination, config, project, watched, variables, on_finish)
    first, more = options.types(instance_type)
    launched = Launched(
        first, ami, spot, key_name, subnet, groups, instance_profile, disk=disk, owner=owner(), recover=recover, more_types=more
    )
    show = (lambda plan: put(plan.plain())) if dry_run else None
    begun = session.launch().run(asked, launched, lambda one: _told(one, as_json=as_json, wait=wait), dry=show)
    if begun is not None and wait:
        _waited(session, lambda: session.target_of(begun), "0", options.EVERY, as_json=as_json)


@app.command()
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
    """Launch the next attempt of a run of which no instance lives; options not given are as before."""
    from .resume import Changes
    from .session import Session

    session = Session(destination)
    groups = tuple(security_group) if security_group else None
    changes = Changes(instance_type, ami, spot, key_name, subnet, groups, instance_profile, disk)
    target, show = session.target(run), put if dry_run else None
    begun = session.resume().run(target, changes, lambda one: _told(one, as_json=as_json, wait=wait), dry=show)
    if begun is not None and wait:
        _waited(session, lambda: session.target_of(begun), "0", options.EVERY, as_json=as_json)


@app.command(name="list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Earlier instances of each run too.")] = False,
    destination: Destination = "",
    as_json: Json = False,
) -> None:
    """The runs that EC2 knows; with a destination also those of which only S3 does."""
    from .listing import runs
    from .render import runs_table
    from .session import Session
    from .shelf import Shelf

    session = Session(destination)
    shelf = Shelf(destination, session.runtime) if destination else None
    found = runs(session.resolver.fleet, shelf, session.runtime, note, every=every)
    if as_json:
        put(Runs(runs=[one.plain() for one in found]))
    elif found:
        runs_table(found, session.now(), session.replaced(found))
    else:
        say(f"no runs in {session.ec2.region}" + ("" if destination else "; what has ended is found with --destination"))


@app.command()
def status(run: Run, destination: Destination = "", as_json: Json = False) -> None:
    """How a run stands: by its instance's tags, else by status.json."""
    from .render import status_text
    from .session import Session

    session = Session(destination)
    standing = session.standing(run)
    put(standing.plain()) if as_json else say(status_text(standing, session.now()))


@app.command()
def wait(
    run: Run, destination: Destination = "", timeout: Timeout = "0", every: options.Every = options.EVERY, as_json: Json = False
) -> None:
    """Until the run has ended: 0 finished, 10 failed, 11 interrupted or stopped, 7 timed out."""
    from .session import Session

    session = Session(destination)
    _waited(session, lambda: session.target(run), timeout, every, as_json=as_json)


@app.command()
def checkpoints(run: Run, destination: Destination = "", as_json: Json = False) -> None:
    """What is committed, the newest first."""
    from .checkpoints import in_s3, listing
    from .render import checkpoints_table
    from .session import Session

    session = Session(destination)
    name, shelf = session.shelf(run)
    found = listing(shelf, name, session.runtime)
    rows = in_s3(shelf, name, found.ranked)
    for key, reason in found.malformed:
        note(f"{key} can't be read: {reason}")
    if as_json:
        unreadable = [list(one) for one in found.malformed]
        put(Checkpoints(run=name, checkpoints=[one.plain() for one in rows], unreadable=unreadable))
    elif rows:
        checkpoints_table(rows, session.now())
    else:
        say(f"{name} has no checkpoints yet")


@app.command()
def pull(
    run: Run,
    to: Annotated[str, typer.Argument(metavar="[DEST]", help="Default: ./<run>.", show_default=False)] = "",
    checkpoint: Annotated[str, typer.Option("--checkpoint", metavar="NAME", help="Default: the newest that verifies.")] = "",
    destination: Destination = "",
    as_json: Json = False,
) -> None:
    """Bring a checkpoint here, verified."""
    from .checkpoints import plain_restored
    from .checkpoints import pull as pulled
    from .render import arriving_bar, restored_text
    from .session import Session

    session = Session(destination)
    name, shelf = session.shelf(run)
    with arriving_bar() as told:
        restored = pulled(shelf, name, session.runtime, destination=to or name, checkpoint=checkpoint, progress=told)
    for passed in restored.passed_by:
        note(f"passed by {passed.checkpoint}: {passed.reason}")
    put(plain_restored(name, restored)) if as_json else say(restored_text(restored))


@app.command()
def prune(
    run: Run,
    destination: Destination = "",
    dry_run: options.Shown = False,
    yes: options.Yes = False,
    timeout: Timeout = options.TIMEOUT,
    as_json: Json = False,
) -> None:
    """Delete what the run's retention lets go: by its agent, or on an ended run from here."""
    from .render import pruning_text
    from .session import Session

    limit = seconds("--timeout", timeout)
    command = Session(destination).prune(run)
    found = command.plan()
    if found.something and not dry_run:
        note(pruning_text(found))
        if not yes and not confirm("delete that?", "--yes deletes without asking, --dry-run shows what would go"):
            note("nothing was deleted")
            return
        found = command.carry_out(found, limit)
    put(found.plain()) if as_json else say(pruning_text(found))


@app.command()
def flush(run: Run, destination: Destination = "", timeout: Timeout = options.TIMEOUT, as_json: Json = False) -> None:
    """Ask the agent to make durable what is finished, and wait until it is."""
    from .session import Session

    session = Session(destination)
    _acted(session.power().flush(session.target(run), seconds("--timeout", timeout)), "everything finished is durable", as_json)


@app.command()
def stop(
    run: Run, destination: Destination = "", timeout: Timeout = options.TIMEOUT, now: options.Now = False, as_json: Json = False
) -> None:
    """End the training, make everything durable, stop the instance; its disk stays."""
    from .session import Session

    session = Session(destination)
    machine = session.power().stop(session.target(run), seconds("--timeout", timeout), now=now)
    _acted(machine, f"{machine.id} is stopped", as_json)


@app.command()
def start(run: Run, destination: Destination = "", as_json: Json = False) -> None:
    """Start a stopped instance again; its agent goes on."""
    from .session import Session

    session = Session(destination)
    _acted(machine := session.power().start(session.target(run)), f"{machine.id} is starting", as_json)


@app.command()
def terminate(
    run: Run, destination: Destination = "", timeout: Timeout = options.TIMEOUT, now: options.Now = False, as_json: Json = False
) -> None:
    """End the training, make everything durable, terminate the instance; its disk goes."""
    from .session import Session

    session = Session(destination)
    machine = session.power().terminate(session.target(run), seconds("--timeout", timeout), now=now)
    _acted(machine, f"{machine.id} is terminated", as_json)


def _told(begun: Begun, *, as_json: bool, wait: bool) -> None:
    """The id must be out before the launch counts as done."""
    if as_json and not wait:
        put(begun.plain())
        return
    text = f"{begun.spec.run}: launched {begun.launched_as}"
    note(text) if as_json else say(text)


def _waited(session: Session, find: Callable[[], Target], timeout: str, every: str, *, as_json: bool) -> None:
    from .render import verdict_text
    from .wait import Patience

    patience = Patience(seconds("--timeout", timeout), max(0.1, seconds("--every", every)))
    verdict = session.wait(find, patience, note if as_json else say)
    put(verdict.plain()) if as_json else say(verdict_text(verdict, session.now()))
    raise typer.Exit(verdict.outcome.exit_code)


def _acted(machine: Machine, done: str, as_json: bool) -> None:
    from .known import known

    about = known(machine.run, machine.destination, machine)
    put(about.plain()) if as_json else say(f"{machine.run}: {done}")
