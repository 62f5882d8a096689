"""What goes on, as it goes on: watch, logs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from runctl import options
from runctl.app import note, put, say, write
from runctl.documents import Logs
from runctl.options import Destination, Json, Run
from runctl.shown import shown

if TYPE_CHECKING:
    from runctl.choosing import Choice
    from runctl.live import Draw
    from runctl.session import Session
    from runctl.watching import View

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


def watch(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Default: every run.", show_default=False)] = "",
    project: options.OfProject = "",
    mine: options.Mine = False,
    every: options.Every = options.EVERY,
    destination: Destination = "",
    as_json: Json = False,
) -> None:
    """How a run stands, or all of them, as it changes.

    q leaves it. Of one run: until it has ended. Without a terminal a line for each change, with --json a document.
    """
    from runctl.choosing import choice
    from runctl.draft import owner
    from runctl.session import Session

    pause = max(0.1, options.seconds("--every", every))
    session = Session(destination)
    if run:
        _one(session, run, pause, as_json=as_json)
    else:
        _all(session, choice((), project, owner() if mine else "", ""), pause, as_json=as_json)


def _one(session: Session, run: str, pause: float, *, as_json: bool) -> None:
    from runctl import frame
    from runctl.logs import TRAINING, Log
    from runctl.moment import Moments
    from runctl.render import verdict_text
    from runctl.wait import Patience
    from runctl.watching import One

    target = session.target(run)
    log = Log(session.resolver.shelf(target), target.run, TRAINING, session.runtime)
    view = One(session.waiting(lambda: target, Patience(every=pause), lambda text: None), log, session.runtime)

    def draw(screen: frame.Screen) -> Sequence[str]:
        footer = frame.footer(view.looked_at, pause, view.problem)
        known = next(iter(view.rows), None)
        return [footer] if known is None else frame.one(known, view.lines, footer, Moments(session.now()), screen)

    _shown(session, view, draw, lambda: view.verdict is not None, as_json=as_json)
    if view.verdict is not None and not as_json:
        say(verdict_text(view.verdict, session.now()))


def _all(session: Session, which: Choice, pause: float, *, as_json: bool) -> None:
    from runctl import frame
    from runctl.moment import Moments
    from runctl.watching import All

    view = All(session.resolver.fleet, session.runtime, pause, which, session.replaced)

    def draw(screen: frame.Screen) -> Sequence[str]:
        footer = frame.footer(view.looked_at, pause, view.problem)
        return frame.many(view.rows, footer, Moments(session.now()), screen, view.replaced)

    _shown(session, view, draw, lambda: False, as_json=as_json)


def _shown(session: Session, view: View, draw: Draw, over: Callable[[], bool], *, as_json: bool) -> None:
    if sys.stdout.isatty() and not as_json:
        from rich.console import Console

        from runctl.keys import Keys
        from runctl.live import watched

        with Keys() as keys:
            watched(view, draw, over, session.runtime, keys, Console())
        return
    from runctl.listing import row
    from runctl.live import told
    from runctl.sight import news, news_text

    if as_json:
        told(view, lambda known: known, lambda known: put(row(known, session.now())), over, session.runtime)
    else:
        told(view, news, lambda known: write(shown(news_text(known, session.now()))), over, session.runtime)
