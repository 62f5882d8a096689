"""How runs stand: list, status, wait."""

from __future__ import annotations

from typing import Annotated

import typer

from runctl import options
from runctl.app import note, put, say
from runctl.documents import Runs
from runctl.options import Destination, Json, Run, Timeout

from .telling import waited


def list_(
    every: Annotated[bool, typer.Option("--all", help="Earlier instances of each run too.")] = False,
    destination: Destination = "",
    as_json: Json = False,
) -> None:
    """The runs that EC2 knows; with a destination also those of which only S3 does."""
    from runctl.listing import runs
    from runctl.render import runs_table
    from runctl.session import Session
    from runctl.shelf import Shelf

    session = Session(destination)
    shelf = Shelf(destination, session.runtime) if destination else None
    found = runs(session.resolver.fleet, shelf, session.runtime, note, every=every)
    if as_json:
        put(Runs(runs=[one.plain() for one in found]))
    elif found:
        runs_table(found, session.now(), session.replaced(found))
    else:
        say(f"no runs in {session.ec2.region}" + ("" if destination else "; what has ended is found with --destination"))


def status(run: Run, destination: Destination = "", as_json: Json = False) -> None:
    """How a run stands: by its instance's tags, else by status.json."""
    from runctl.render import status_text
    from runctl.session import Session

    session = Session(destination)
    standing = session.standing(run)
    put(standing.plain()) if as_json else say(status_text(standing, session.now()))


def wait(
    run: Run, destination: Destination = "", timeout: Timeout = "0", every: options.Every = options.EVERY, as_json: Json = False
) -> None:
    """Until the run has ended: 0 finished, 10 failed, 11 interrupted or stopped, 7 timed out."""
    from runctl.session import Session

    session = Session(destination)
    waited(session, lambda: session.target(run), timeout, every, as_json=as_json)
