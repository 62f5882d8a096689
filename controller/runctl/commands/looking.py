"""How runs stand: list, status, watch, wait."""

from __future__ import annotations

from typing import Annotated

import typer

from runctl import options
from runctl.app import note, put, say
from runctl.documents import Runs
from runctl.options import Destination, Json, Run, Timeout

from .telling import waited


def list_(
    phase: options.Phases = None,
    project: options.OfProject = "",
    mine: options.Mine = False,
    every: Annotated[bool, typer.Option("--all", help="Earlier instances of each run too.")] = False,
    all_regions: options.AllRegions = False,
    sort: options.Sort = "",
    exact: options.Exact = False,
    wide: options.Wide = False,
    destination: Destination = "",
    as_json: Json = False,
) -> None:
    """The runs that EC2 knows, and with a destination those in S3.

    A column that does not fit the terminal is left out; what is piped has all of them.
    """
    from runctl.choosing import choice
    from runctl.draft import owner
    from runctl.listing import Listing, row
    from runctl.moment import Moments
    from runctl.regions import Everywhere
    from runctl.render import table
    from runctl.session import Session
    from runctl.shelf import Shelf
    from runctl.tables import RUNS, exactly, runs_rows

    session = Session(destination)
    which = choice(phase or (), project, owner() if mine else "", sort)
    shelf = Shelf(destination, session.runtime) if destination else None
    fleet = Everywhere(session.ec2, session.runtime, note) if all_regions else session.resolver.fleet
    found = Listing(fleet, shelf, session.runtime, note).runs(which, every=every)
    if as_json:
        put(Runs(runs=[row(one, session.now()) for one in found]))
    elif found:
        when = Moments(session.now(), exact)
        table(exactly(RUNS, when), runs_rows(found, when, session.replaced(found), regions=all_regions), wide=wide)
    else:
        where = "any region" if all_regions else session.ec2.region
        narrowed = " of these" if which.phases or which.project or which.owner else ""
        say(f"no runs{narrowed} in {where}" + ("" if destination else "; what has ended is found with --destination"))


def status(run: Run, exact: options.Exact = False, destination: Destination = "", as_json: Json = False) -> None:
    """How a run stands, in full.

    By its instance's tags, else by status.json in S3; what the agent told is given as of then.
    """
    from runctl.moment import Moments
    from runctl.render import paragraphs
    from runctl.session import Session
    from runctl.status_text import status_text

    session = Session(destination)
    standing, now = session.standing(run), session.now()
    put(standing.plain(now)) if as_json else say(paragraphs(status_text(standing, Moments(now, exact))))


def wait(
    run: Run, destination: Destination = "", timeout: Timeout = "0", every: options.Every = options.EVERY, as_json: Json = False
) -> None:
    """Until the run has ended; the exit code says how.

    0 finished, 10 failed, 11 interrupted, stopped or gone, 7 timed out.
    """
    from runctl.session import Session

    session = Session(destination)
    waited(session, run, lambda: session.target(run), timeout, every, as_json=as_json)
