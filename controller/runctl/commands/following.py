"""What goes on, as it goes on: logs."""

from __future__ import annotations

from itertools import chain
from typing import Annotated

import typer

from runctl import options
from runctl.app import note, put, write
from runctl.documents import Logs
from runctl.options import Destination, Json, Run

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")]
Agent = Annotated[bool, typer.Option("--agent", help="What the agent logs, instead of the training.")]
Lines = Annotated[int, typer.Option("--lines", "-n", metavar="N", min=0, help="Only the last N; 0: all.")]


def logs(
    run: Run,
    follow: Follow = False,
    agent: Agent = False,
    lines: Lines = 0,
    every: options.Every = options.EVERY,
    destination: Destination = "",
    as_json: Json = False,
) -> None:
    """What the training printed, attempt by attempt.

    From S3, where the agent puts it every 30 s. Colours and control characters are left out.
    """
    from runctl.follow import Follower
    from runctl.logs import AGENT, TRAINING, Log, Reader, Shower, attempts, tail
    from runctl.session import Session
    from runctl.wait import Patience
    from runctl_agent.errors import UsageError

    if follow and as_json:
        raise UsageError("--json and --follow go not together", "the one document would come at the end", "leave one of them out")
    session = Session(destination)
    target = session.target(run)
    shelf, name = session.resolver.shelf(target), AGENT if agent else TRAINING
    shelf.store.check_bucket(shelf.keys(target.run).base)
    log = Log(shelf, target.run, name, session.runtime)
    reader = Reader(log)
    there = log.last(log.pieces(), lines)
    reader.begin(there if lines else ())
    found = chain(reader.new(there), () if follow else reader.rest())
    shown = tail(found, lines) if lines else found
    if as_json:
        put(Logs(run=target.run, log=name, attempts=attempts(log, shown)))
        return
    shower = Shower(log, write, several=len({piece.epoch for piece in there}) > 1)
    if not shower.show(shown) and not follow:
        note(f"{target.run} has no {name} in S3 yet; its agent puts it there every 30 s, once something is in it")
    if follow:
        patience = Patience(every=max(0.1, options.seconds("--every", every)))
        Follower(log, reader, session.waiting(lambda: target, patience, note), session.runtime, shower.show).until_ended()
